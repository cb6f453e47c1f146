import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertkit.core.batch import PackedBatch
from bertkit.core.packing import PackedArrays
from bertkit.inference.backends.base import (
    MASKED_LM,
    TASK,
    HeadLogits,
    Output,
    PooledStates,
    SequenceStates,
    TokenStates,
    TokensWithId,
    Want,
)
from bertkit.inference.backends.torch_packed import TorchPacked
from bertkit.inference.engine import Engine
from bertkit.inference.load import load
from bertkit.inference.predictor import Predictor
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.models import BertWithHeads
from bertkit.tasks.model import load_task_model
from bertkit.text.sequences import EncodedExample


class LengthsBackend:
    """Says of every sequence how long it is; keeps the batches that it was given."""

    name = "lengths"
    device = "cpu"
    precision = "none"
    max_tokens = 100
    streams = 1
    layers = ()
    has_pooler = True
    heads = ()

    def __init__(self, *, is_padded: bool) -> None:
        self.is_padded = is_padded
        self.batches: list[list[int]] = []

    def start_stream(self) -> None:
        pass

    def run(self, batch: PackedArrays, want: Want) -> Output:
        assert isinstance(want, PooledStates)
        self.batches.append(batch.lengths.tolist())
        return (batch.lengths[:, None].astype(np.float32),)


def _sequences(lengths: Sequence[int]) -> list[EncodedExample]:
    return [
        EncodedExample(
            input_ids=np.zeros(length, np.int32),
            token_type_ids=np.zeros(length, np.int32),
            offsets=np.zeros((length, 2), np.int32),
        )
        for length in lengths
    ]


@settings(max_examples=20)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=40),
    max_tokens=st.integers(1, 60),
    streams=st.integers(1, 3),
    is_padded=st.booleans(),
)
def test_rows_come_in_the_sequences_order_whatever_the_batches_and_streams(
    lengths: list[int], max_tokens: int, streams: int, is_padded: bool
):
    backend = LengthsBackend(is_padded=is_padded)
    engine = Engine(backend, max_tokens=max_tokens, streams=streams)
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count

    rows = engine.rows(_sequences(lengths), PooledStates(), np.ones(len(lengths), np.int64), advance=advance)
    assert rows[:, 0].tolist() == lengths
    assert done == len(lengths)
    for batch in backend.batches:
        tokens = max(batch) * len(batch) if is_padded else sum(batch)
        assert tokens <= max_tokens or len(batch) == 1


def test_no_sequences_give_no_rows():
    assert len(Engine(LengthsBackend(is_padded=False)).rows([], PooledStates(), np.zeros(0, np.int64))) == 0


@pytest.fixture
def encoder(pretrained: Path) -> Predictor:
    return load(pretrained, device="cpu")


def _with_engine(predictor: Predictor, **options: int) -> Predictor:
    engine = Engine(predictor.model.engine.backend, **options)
    return Predictor(replace(predictor.model, engine=engine))


def test_streams_and_small_batches_change_nothing(encoder: Predictor):
    texts = [" ".join(["the", "cat", "sat", "on", "a", "mat"][: 1 + index % 4]) for index in range(11)]
    expected = encoder.embed(texts)
    for streams in (1, 2):
        found = _with_engine(encoder, max_tokens=17, streams=streams).embed(texts)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_threads_that_others_start_keep_their_number_of_cores(encoder: Predictor):
    before = torch.get_num_threads()
    _with_engine(encoder, max_tokens=4, streams=2).embed(["the cat"] * 16)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *seen] == [before, before]


def test_an_engine_gives_of_a_batch_what_is_wanted(encoder: Predictor, pretrained: Path):
    model, tokenizer = BertWithHeads.from_pretrained(pretrained), encoder.model.tokenizer
    arrays = PackedArrays.of(tokenizer.encode_batch(["the [MASK] sat", "a dog", "[MASK] and [MASK]"]))
    batch = PackedBatch.of_packed(arrays)
    starts = batch.cu_seqlens[:-1]
    last = model.bert.config.num_hidden_layers
    masks = batch.input_ids == tokenizer.mask_token_id
    with torch.no_grad():
        output = model.bert(batch, output_hidden_states=True)
        hidden = output.last_hidden_state
        logits = model.masked_lm(hidden[masks], model.bert.embeddings.word_embeddings.weight)
    wanted = {
        PooledStates(): [output.pooler_output],
        TokenStates((last,)): [hidden],
        TokenStates((last,), "first"): [hidden[starts]],
        TokenStates((1,), "first"): [output.hidden_states[1][starts]],
        TokenStates((2, 0)): [output.hidden_states[2], output.hidden_states[0]],
        SequenceStates((last,), "first"): [hidden[starts]],
        SequenceStates((1, last)): [
            torch.stack([part.mean(0) for part in output.hidden_states[layer].split(arrays.lengths.tolist())])
            for layer in (1, last)
        ],
        HeadLogits(MASKED_LM, TokensWithId(tokenizer.mask_token_id)): [logits],
    }
    for want, expected in wanted.items():
        found = encoder.model.engine.run(arrays, want)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, other.numpy(), atol=1e-5, rtol=0)


def test_a_live_module_is_run_as_it_is(classifier: Path):
    module, _ = load_task_model(ModelFolder.open(classifier))
    module.train()
    engine = Engine(TorchPacked(module))
    assert not module.training
    sequences = load(classifier, device="cpu").model.tokenizer.encode_batch(["the cat", "a dog"])
    batch = PackedArrays.of(sequences)
    (before,) = engine.run(batch, HeadLogits(TASK))
    with torch.no_grad():
        module.head.dense.bias += 1
    np.testing.assert_allclose(engine.run(batch, HeadLogits(TASK))[0], before + 1, atol=1e-6)
