import itertools
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bertkit.core.batch import PackedBatch, pack
from bertkit.core.packing import token_budget_batches


@dataclass(frozen=True)
class _Sequence:
    input_ids: NDArray[np.int32]
    token_type_ids: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.input_ids)


def test_sequences_are_laid_end_to_end_in_their_order():
    sequences = [
        _Sequence(np.arange(length, dtype=np.int32) + 10 * length, np.arange(length, dtype=np.int8) % 2)
        for length in (5, 4, 8)
    ]
    batch = pack(sequences)
    assert batch.input_ids.tolist() == [token for sequence in sequences for token in sequence.input_ids]
    assert batch.token_type_ids.tolist() == [kind for sequence in sequences for kind in sequence.token_type_ids]
    assert batch.cu_seqlens.diff().tolist() == [5, 4, 8]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_a_batch_is_halved_between_sequences(lengths: list[int]):
    ids = np.split(np.arange(sum(lengths)), np.cumsum(lengths)[:-1])
    whole = pack([_Sequence(some.astype(np.int32), (some % 2).astype(np.int8)) for some in ids])
    parts = whole.halved()
    middle = len(lengths) // 2
    expected = [ids[:middle], ids[middle:]] if middle else [ids]
    for part, sequences in zip(parts, expected, strict=True):
        alone = pack([_Sequence(some.astype(np.int32), (some % 2).astype(np.int8)) for some in sequences])
        assert part.lengths.tolist() == alone.lengths.tolist()
        for name in ("input_ids", "token_type_ids", "position_ids", "cu_seqlens"):
            assert torch.equal(getattr(part, name), getattr(alone, name)), name
            assert getattr(part, name).dtype == getattr(alone, name).dtype


@given(st.lists(st.integers(1, 50)), st.integers(1, 120))
def test_every_sequence_is_in_one_batch_within_the_budget(lengths, max_tokens):
    batches = token_budget_batches(lengths, max_tokens)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or sum(lengths[i] for i in batch) <= max_tokens
    for batch, following in itertools.pairwise(batches):
        assert sum(lengths[i] for i in batch) + lengths[following[0]] > max_tokens


def test_long_sequences_come_first_and_equal_ones_in_their_order():
    batches = token_budget_batches(np.array([3, 9, 3, 5]), 10)
    assert [batch.tolist() for batch in batches] == [[1], [3, 0], [2]]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_positions_start_again_with_every_sequence(lengths: list[int]):
    total = sum(lengths)
    batch = PackedBatch.from_arrays(np.arange(total), np.zeros(total, np.int8), np.array(lengths))
    assert batch.position_ids.tolist() == [position for length in lengths for position in range(length)]
    assert batch.cu_seqlens.tolist() == [sum(lengths[:i]) for i in range(len(lengths) + 1)]
    assert (batch.num_sequences, batch.num_tokens, batch.max_seqlen) == (len(lengths), total, max(lengths))
    assert batch.to(torch.device("meta")).lengths.tolist() == lengths
