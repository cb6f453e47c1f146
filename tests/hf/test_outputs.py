"""The logits of a masked LM with labels are computed when they are read."""

import numpy as np
import pytest
import torch

from bertkit.foundation.errors import InputError
from bertkit.hf import BertForMaskedLM, BertForPreTraining
from bertkit.hf.prediction_heads import BertLMPredictionHead


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows the head was run on, call by call."""
    counted: list[int] = []
    plain = BertLMPredictionHead.logits

    def logits(self, hidden):
        counted.append(len(hidden))
        return plain(self, hidden)

    monkeypatch.setattr(BertLMPredictionHead, "logits", logits)
    return counted


@pytest.fixture
def labels(batch):
    labels = torch.full_like(batch["input_ids"], -100)
    labels[0, 2], labels[0, 5], labels[2, 1] = 7, 9, 11
    return labels


def test_a_training_step_computes_the_labelled_places_alone(config, batch, labels, rows):
    model = BertForMaskedLM(config)
    output = model(**batch, labels=labels)
    assert output.logits.shape == (3, 12, 50) and output["logits"].dtype == output[1].dtype == torch.float32
    assert output.logits.size(-1) == 50 and len(output.logits) == 3 and output.logits.device == model.device
    output.loss.backward()
    output.logits.float().detach()
    assert rows == [3]


def test_what_is_read_is_what_comes_without_labels(config, batch, labels, rows):
    model = BertForMaskedLM(config)
    expected = model(**batch).logits
    deferred = model(**batch, labels=labels).logits
    assert torch.equal(deferred + 0, expected)
    assert torch.equal(deferred.argmax(-1), expected.argmax(-1))
    assert torch.equal(torch.cat([deferred, expected]), torch.cat([expected, expected]))
    assert torch.equal(deferred[1], expected[1])
    assert deferred.detach().double().dtype == torch.float64
    np.testing.assert_array_equal(deferred.detach().numpy(), expected.detach().numpy())
    assert "grad_fn" in repr(deferred)
    assert rows == [22, 3, 22]


def test_logits_that_were_deferred_carry_a_gradient(config, batch, labels):
    model = BertForMaskedLM(config)
    (model(**batch, labels=labels).logits * 2).sum().backward()
    deferred = model.cls.predictions.bias.grad.clone()
    model.zero_grad()
    (model(**batch).logits * 2).sum().backward()
    torch.testing.assert_close(deferred, model.cls.predictions.bias.grad)


@pytest.mark.parametrize("fused", [False, True])
def test_logits_of_weights_that_are_gone_are_refused(config, batch, labels, fused: bool):
    model = BertForPreTraining(config)
    optimizer = torch.optim.AdamW(model.parameters(), fused=fused)
    output = model(**batch, labels=labels, next_sentence_label=torch.tensor([0, 1, 0]))
    read = model(**batch, labels=labels, next_sentence_label=torch.tensor([0, 1, 0])).prediction_logits
    kept = read + 0
    output.loss.backward()
    optimizer.step()
    with pytest.raises(InputError, match="before the optimiser's step"):
        output.prediction_logits + 0
    assert torch.equal(read + 0, kept)


def test_settings_of_the_forward_pass_hold_when_logits_are_read(config, batch, labels):
    model = BertForMaskedLM(config)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected, deferred = model(**batch).logits, model(**batch, labels=labels).logits
    assert expected.dtype == deferred.dtype == torch.bfloat16
    widened = deferred.float()
    assert widened.dtype == torch.float32
    assert torch.equal(widened + 0, expected.float())
    assert not (deferred + 0).requires_grad
