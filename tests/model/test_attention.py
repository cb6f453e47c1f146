"""Attention to the tokens around, in whole tiles and in blocks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from bertkit.foundation.packed_batch import PackedBatch
from bertkit.model.attention import packed_attention
from bertkit.model.attention_probabilities import attention_probabilities
from bertkit.model.sequence_layout import SequenceLayout


def _layout(lengths: list[int]) -> SequenceLayout:
    zeros = np.zeros(sum(lengths), np.int64)
    return SequenceLayout(PackedBatch.from_arrays(zeros, zeros, np.array(lengths)))


@settings(max_examples=40)
@given(
    lengths=st.lists(st.one_of(st.integers(1, 40), st.integers(41, 150)), min_size=1, max_size=5),
    window=st.integers(1, 24),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_token_attends_to_those_within_the_window(lengths: list[int], window: int, seed: int):
    torch.manual_seed(seed)
    layout = _layout(lengths)
    packed = torch.randn(sum(lengths), 3, 2, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(sum(lengths), 2, 4, dtype=torch.float64)
    reference = packed.detach().clone().requires_grad_()
    parts = []
    for part in reference.split(lengths):
        places = torch.arange(len(part))
        near = (places - places[:, None]).abs() <= window
        parts.append(scaled_dot_product_attention(*part.permute(1, 2, 0, 3), attn_mask=near).transpose(0, 1))
    expected = torch.cat(parts)
    (expected * weight).sum().backward()

    context = packed_attention(packed, layout, 0.0, window)
    (context * weight).sum().backward()
    torch.testing.assert_close(context, expected)
    torch.testing.assert_close(packed.grad, reference.grad)
    with torch.no_grad():
        torch.testing.assert_close(packed_attention(packed, layout, 0.0, window), expected)
        for found, part, wanted in zip(
            attention_probabilities(packed, layout, window), packed.split(lengths), expected.split(lengths), strict=True
        ):
            seen = found[:, : len(part), : len(part)] @ part[:, 2].transpose(0, 1)
            torch.testing.assert_close(seen.transpose(0, 1), wanted)


@pytest.mark.parametrize("length", [30, 150])
def test_dropped_probabilities_are_those_of_the_window_alone(length: int):
    """With values of 1, a row is the sum of the kept probabilities, and its mean over many draws is 1."""
    packed = torch.ones(length, 3, 1, 4, requires_grad=True)
    torch.manual_seed(0)
    rows = torch.stack([packed_attention(packed, _layout([length]), 0.5, 8) for _ in range(200)])
    assert 0.5 < float(rows.detach().std(0).mean()) * 17**0.5 < 2
    torch.testing.assert_close(rows.mean(0), torch.ones(length, 1, 4), atol=0.15, rtol=0)
    rows.sum().backward()
    assert torch.isfinite(packed.grad).all() and packed.grad[:, 2].mean() == pytest.approx(200, rel=0.05)
