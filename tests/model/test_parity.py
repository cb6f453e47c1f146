"""The encoder and the heads give the numbers of the transformers package, forward and backward."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bertkit.foundation.packed_batch import PackedBatch
from bertkit.model.config import BertConfig
from bertkit.model.folder import ModelFolder, write_model_folder
from bertkit.model.initialization import initialize
from bertkit.model.names import huggingface_names
from bertkit.model.pretraining import PretrainingModel

transformers = pytest.importorskip("transformers")


def _tiny(**changes) -> BertConfig:
    sizes = {
        "vocab_size": 50,
        "hidden_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "intermediate_size": 40,
    }
    return BertConfig(**(sizes | {"max_position_embeddings": 300} | changes))


def _random_batch(config: BertConfig, lengths: list[int]) -> PackedBatch:
    rng = np.random.default_rng(0)
    ids = rng.integers(1, config.vocab_size, sum(lengths))  # id 0 is padding, which transformers never trains
    segments = np.concatenate([np.arange(length) > length // 2 for length in lengths])
    return PackedBatch.from_arrays(ids, segments, np.array(lengths))


def _padded(batch: PackedBatch) -> dict[str, torch.Tensor]:
    bounds = batch.cu_seqlens.tolist()
    shape = (batch.num_sequences, batch.max_seqlen)
    ids, segments, mask = (torch.zeros(shape, dtype=torch.int64) for _ in range(3))
    for row, (start, end) in enumerate(pairwise(bounds)):
        ids[row, : end - start] = batch.input_ids[start:end]
        segments[row, : end - start] = batch.token_type_ids[start:end]
        mask[row, : end - start] = 1
    return {"input_ids": ids, "token_type_ids": segments, "attention_mask": mask}


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_new"])
@pytest.mark.parametrize("lengths", [[7, 7, 7], [9, 3, 9, 9, 1], [280, 260, 5], [32, 32, 16, 16, 16]])
def test_losses_and_every_gradient_equal_those_of_transformers(tmp_path: Path, hidden_act: str, lengths: list[int]):
    config = _tiny(hidden_act=hidden_act)
    ours = PretrainingModel(config)
    initialize(ours, 0.3, seed=3)
    write_model_folder(tmp_path, ours, config, architecture="BertForPreTraining")
    theirs = transformers.BertForPreTraining.from_pretrained(tmp_path)
    ours.double().eval(), theirs.double().eval()

    batch = _random_batch(config, lengths)
    positions = torch.arange(0, batch.num_tokens, 2)
    labels, order = batch.input_ids[positions], torch.arange(batch.num_sequences) % 2
    logits, next_logits = ours(batch, positions)
    loss = F.cross_entropy(logits, labels) + F.cross_entropy(next_logits, order)
    loss.backward()

    padded = _padded(batch)
    flat_labels = torch.full((batch.num_tokens,), -100)
    flat_labels[positions] = labels
    padded_labels = torch.full(padded["input_ids"].shape, -100)
    padded_labels[padded["attention_mask"].bool()] = flat_labels
    expected = theirs(**padded, labels=padded_labels, next_sentence_label=order)
    expected.loss.backward()

    torch.testing.assert_close(loss, expected.loss, rtol=1e-10, atol=1e-10)
    their_gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    their_gradients["cls.predictions.bias"] = their_gradients.get(
        "cls.predictions.bias", their_gradients.get("cls.predictions.decoder.bias")
    )
    for name, parameter in ours.named_parameters():
        want = torch.cat([their_gradients[part] for part in huggingface_names(name)])
        torch.testing.assert_close(parameter.grad, want, rtol=1e-8, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")


def test_a_folder_written_and_read_again_holds_the_same_weights(tmp_path: Path):
    config = _tiny()
    first, second = PretrainingModel(config), PretrainingModel(config)
    initialize(first, 0.02, seed=1)
    initialize(second, 0.02, seed=2)
    write_model_folder(tmp_path, first, config, architecture="BertForPreTraining")
    folder = ModelFolder.open(tmp_path)
    assert folder.config == config
    assert folder.load_into(second).complete
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name
