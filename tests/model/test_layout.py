import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertkit.foundation.packed_batch import PackedBatch
from bertkit.model.attention import packed_attention
from bertkit.model.sequence_layout import SequenceLayout, padded_length

LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=20)


def _layout(lengths: list[int]) -> SequenceLayout:
    zeros = np.zeros(sum(lengths), np.int64)
    return SequenceLayout(PackedBatch.from_arrays(zeros, zeros, np.array(lengths)))


@given(LENGTHS)
def test_tiles_hold_every_token_once(lengths: list[int]):
    tokens = torch.arange(sum(lengths))
    seen = torch.zeros_like(tokens)
    for tile in _layout(lengths).tiles:
        rows = tile.take(tokens)
        assert rows.shape == (tile.sequences, tile.length)
        seen += torch.bincount(
            rows[~tile.padding] if tile.padding is not None else rows.flatten(), minlength=len(tokens)
        )
        target = torch.full_like(tokens, -1)
        tile.put(target, rows)
        assert torch.equal(target[target >= 0], tokens[target >= 0])
    assert seen.tolist() == [1] * len(tokens)


@given(LENGTHS)
def test_shapes_are_few(lengths: list[int]):
    for tile in _layout(lengths).tiles:
        assert tile.length == padded_length(tile.length)
        assert tile.sequences & (tile.sequences - 1) == 0


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.sampled_from([0.0, 0.25]))
def test_attention_is_that_of_each_sequence_alone(lengths: list[int], drop_rate: float):
    torch.manual_seed(0)
    packed = torch.randn(sum(lengths), 3, 2, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(sum(lengths), 2, 4, dtype=torch.float64)
    layout = _layout(lengths)
    context = packed_attention(packed, layout, 0.0)
    (context * weight).sum().backward()

    reference = packed.detach().clone().requires_grad_()
    parts = []
    for part in reference.split(lengths):
        query, key, value = part.transpose(0, 2).unbind(1)  # (A, L, D)
        parts.append(torch.nn.functional.scaled_dot_product_attention(query, key, value).transpose(0, 1))
    expected = torch.cat(parts)
    (expected * weight).sum().backward()
    torch.testing.assert_close(context, expected)
    torch.testing.assert_close(packed.grad, reference.grad)

    torch.manual_seed(1)
    dropped = packed_attention(packed, layout, drop_rate)
    assert dropped.shape == context.shape
    assert torch.equal(dropped, context) == (drop_rate == 0.0) or sum(lengths) < 8


def test_tiles_read_nothing_from_the_device():
    """Tensors on the meta device have no values to read."""
    lengths = [200, 40, 33, 16]
    zeros = np.zeros(sum(lengths), np.int64)
    batch = PackedBatch.from_arrays(zeros, zeros, np.array(lengths)).to(torch.device("meta"))
    for tile in SequenceLayout(batch).tiles:
        rows = tile.take(batch.input_ids)
        assert rows.is_meta and rows.shape == (tile.sequences, tile.length)
        tile.put(batch.input_ids, rows)


def test_the_gradient_with_dropout_is_the_derivative():
    torch.manual_seed(0)
    packed = torch.randn(9, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    layout = _layout([4, 5])

    def seeded(values: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(5)
        return packed_attention(values, layout, 0.3)

    assert torch.autograd.gradcheck(seeded, (packed,))
