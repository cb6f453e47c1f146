import numpy as np
import torch

from bertkit.core.arrays import padded_runs, softmax
from bertkit.core.batch import PackedBatch, pack, side_by_side
from bertkit.core.packing import PackedArrays
from bertkit.text.sequences import EncodedExample


def _sequence(ids: list[int]) -> EncodedExample:
    count = len(ids)
    return EncodedExample(np.array(ids, np.int32), np.ones(count, np.int8), np.zeros((count, 2), np.int32))


def test_arrays_and_tensors_hold_the_same_batch():
    sequences = [_sequence([4, 5, 6]), _sequence([7]), _sequence([8, 9])]
    arrays, batch = PackedArrays.of(sequences), pack(sequences)
    assert (arrays.num_sequences, arrays.num_tokens, arrays.max_seqlen) == (3, 6, 3)
    again = PackedBatch.of_packed(arrays)
    for name in ("input_ids", "token_type_ids", "cu_seqlens"):
        ours = getattr(arrays, name)
        for tensor in (getattr(batch, name), getattr(again, name)):
            assert tensor.numpy().dtype == ours.dtype
            np.testing.assert_array_equal(tensor.numpy(), ours)
    np.testing.assert_array_equal(batch.lengths, arrays.lengths)


def test_rows_of_runs_and_their_probabilities_are_those_of_torch():
    values, bounds = torch.randn(9), torch.tensor([0, 4, 5, 9])
    rows = padded_runs(values.numpy(), bounds.numpy())
    np.testing.assert_array_equal(rows, side_by_side(values, bounds).numpy())
    np.testing.assert_allclose(softmax(rows), torch.from_numpy(rows).softmax(-1).numpy(), rtol=1e-6)
