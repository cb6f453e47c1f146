"""Attention weights of packed sequences, whole and in windows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from bertkit.core.batch import PackedBatch
from bertkit.model.attention import attention_probabilities, packed_attention
from bertkit.model.layout import SequenceLayout


def _batch(lengths: list[int]) -> PackedBatch:
    zeros = np.zeros(sum(lengths), np.int64)
    return PackedBatch.from_arrays(zeros, zeros, np.array(lengths))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_tokens_that_nobody_attends_to_still_attend(lengths: list[int], seed: int):
    torch.manual_seed(seed)
    unattended = torch.rand(sum(lengths)) < 0.4
    for start in np.cumsum([0, *lengths[:-1]]):
        unattended[start] = False
    layout = SequenceLayout(_batch(lengths), unattended)
    packed = torch.randn(sum(lengths), 3, 2, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(sum(lengths), 2, 4, dtype=torch.float64)

    reference = packed.detach().clone().requires_grad_()
    parts = []
    for part, left_out in zip(reference.split(lengths), unattended.split(lengths), strict=True):
        query, key, value = part.transpose(0, 2).unbind(1)  # (A, L, D)
        key, value = key[:, ~left_out], value[:, ~left_out]
        parts.append(scaled_dot_product_attention(query, key, value).transpose(0, 1))
    expected = torch.cat(parts)
    (expected * weight).sum().backward()

    context = packed_attention(packed, layout, 0.0)
    (context * weight).sum().backward()
    torch.testing.assert_close(context, expected)
    torch.testing.assert_close(packed.grad, reference.grad)
    with torch.no_grad():
        torch.testing.assert_close(packed_attention(packed, layout, 0.0), expected)


@pytest.mark.parametrize("hides", [False, True])
def test_probabilities_are_those_that_attention_weighs_values_with(hides: bool):
    torch.manual_seed(0)
    lengths = [5, 9, 1]
    unattended = torch.tensor([True] + [False] * 13 + [False]) if hides else None
    layout = SequenceLayout(_batch(lengths), unattended)
    packed = torch.randn(sum(lengths), 3, 2, 4, dtype=torch.float64)
    probabilities = attention_probabilities(packed, layout)
    assert probabilities.shape == (3, 2, 9, 9)
    context = packed_attention(packed, layout, 0.0)
    for row, part, expected in zip(probabilities, packed.split(lengths), context.split(lengths), strict=True):
        size = len(part)
        found = torch.matmul(row[:, :size, :size], part[:, 2].transpose(0, 1)).transpose(0, 1)
        torch.testing.assert_close(found, expected)
        assert row[:, size:].count_nonzero() == row[:, :, size:].count_nonzero() == 0


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
