import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertkit.foundation.packed_batch import PackedBatch


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_positions_start_again_with_every_sequence(lengths: list[int]):
    total = sum(lengths)
    batch = PackedBatch.from_arrays(np.arange(total), np.zeros(total, np.int8), np.array(lengths))
    assert batch.position_ids.tolist() == [position for length in lengths for position in range(length)]
    assert batch.cu_seqlens.tolist() == [sum(lengths[:i]) for i in range(len(lengths) + 1)]
    assert (batch.num_sequences, batch.num_tokens, batch.max_seqlen) == (len(lengths), total, max(lengths))
    assert batch.to(torch.device("meta")).lengths.tolist() == lengths
