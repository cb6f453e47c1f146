"""The last layer at some tokens alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bertkit.core.batch import PackedBatch
from bertkit.model.config import MODERN_PRESETS, PRESETS
from bertkit.model.encoder import Encoder

BERT, MODERN = PRESETS["tiny"], MODERN_PRESETS["tiny"]
LENGTHS = np.array([9, 30, 9])


def _encoder(config, pooler: bool) -> tuple[Encoder, PackedBatch]:
    torch.manual_seed(0)
    config = replace(config, vocab_size=50, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    ids = np.random.default_rng(0).integers(0, 50, LENGTHS.sum())
    return Encoder(config, add_pooling_layer=pooler), PackedBatch.from_arrays(ids, np.zeros_like(ids), LENGTHS)


@pytest.mark.parametrize("read", [[1, 9, 9, 40, 47], []])
@pytest.mark.parametrize(
    ("config", "pooler"),
    [
        (BERT, True),
        (BERT, False),
        (MODERN, True),
        (MODERN, False),
        (replace(MODERN, classifier_pooling="mean"), True),
    ],
)
def test_tokens_that_are_read_have_the_same_values_and_gradients(config, pooler, read):
    model, batch = _encoder(config, pooler)
    places = torch.tensor(read, dtype=torch.int64)
    whole, part = model(batch), model(batch, output_positions=places)
    wanted = [whole.last_hidden_state[places]] + ([whole.pooler_output] if pooler else [])
    found = [part.last_hidden_state] + ([part.pooler_output] if pooler else [])
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = []
    for outputs in (wanted, found):
        total = sum((output * torch.linspace(1, 2, output.shape[-1])).square().sum() for output in outputs)
        if total.requires_grad:
            gradients.append(torch.autograd.grad(total, parameters, allow_unused=True))
    for expected, got in zip(wanted, found, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    for expected, got in zip(*gradients, strict=True):
        zero = torch.zeros(())
        torch.testing.assert_close(
            zero if got is None else got, zero if expected is None else expected, rtol=1e-4, atol=1e-5
        )


def test_all_hidden_states_can_be_had_beside_the_tokens_that_are_read():
    model, batch = _encoder(BERT, True)
    places = torch.tensor([2, 40])
    output = model(batch, output_positions=places, output_hidden_states=True)
    assert output.hidden_states is not None and output.hidden_states[-1].shape == (48, BERT.hidden_size)
    assert torch.equal(output.last_hidden_state, output.hidden_states[-1][places])


def test_the_last_layer_computes_no_other_rows():
    model, batch = _encoder(BERT, True)
    seen = []
    model.layers[-1].intermediate.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    model(batch)
    long = PackedBatch.from_arrays(np.zeros(400, np.int64), np.zeros(400, np.int64), np.array([100] * 4))
    model(long)
    model(long, output_positions=torch.arange(5))
    assert seen == [48, 448, 16]
