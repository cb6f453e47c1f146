import itertools

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertkit.core.batch import PackedBatch, pack, token_budget_batches


def test_examples_are_laid_end_to_end_in_their_order(tokenizer):
    examples = tokenizer.encode_batch(["the cat", "a mat", "dogs ran over hills"], ["sat", "on", "beyond rivers"])
    batch = pack(examples)
    assert batch.input_ids.tolist() == [token for example in examples for token in example.input_ids]
    assert batch.token_type_ids.tolist() == [kind for example in examples for kind in example.token_type_ids]
    assert batch.cu_seqlens.diff().tolist() == [len(example) for example in examples]


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
