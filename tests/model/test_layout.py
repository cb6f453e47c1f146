"""Tiles that hold every token once, and rows that belong to no sequence, of which nothing comes out."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from bertkit.core.batch import PackedBatch
from bertkit.model.attention import packed_attention
from bertkit.model.config import BertConfig, ModernBertConfig
from bertkit.model.encoder import Encoder
from bertkit.model.initialization import initialize
from bertkit.model.layout import SequenceLayout, padded_length

LENGTHS = [41, 30, 9]


def _kernel(seen: list[int]) -> Callable[..., Tensor]:
    """A CUDA kernel's stand-in, in which context and gradient of rows that belong to no sequence are NaN."""

    def varlen_attn(query, key, value, bounds, key_bounds, longest, longest_key, *, window_size):
        assert torch.equal(bounds, key_bounds) and longest == longest_key == max(LENGTHS)
        seen.append(len(query))
        parts = []
        for start, stop in zip(bounds.tolist(), bounds.tolist()[1:], strict=False):
            heads = [rows[start:stop].transpose(0, 1) for rows in (query, key, value)]  # (A, L, D) each
            places = torch.arange(stop - start)
            reach = longest if window_size[0] < 0 else window_size[0]
            near = (places - places[:, None]).abs() <= reach
            parts.append(scaled_dot_product_attention(*heads, attn_mask=near).transpose(0, 1))
        unwritten = (query + key + value)[bounds[-1] :] * torch.nan
        return torch.cat([*parts, unwritten])

    return varlen_attn


@pytest.mark.parametrize("kind", [BertConfig, ModernBertConfig])
@pytest.mark.parametrize("reads_some", [False, True])
def test_a_gpus_kernel_is_given_no_other_rows_than_tokens(
    kind: type[BertConfig], reads_some: bool, monkeypatch: pytest.MonkeyPatch
):
    config = kind(
        vocab_size=100,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=0,
        **({"local_attention": 8} if kind is ModernBertConfig else {}),
    )
    model = Encoder(config).double()
    initialize(model, 0.1, seed=0)
    ids = np.random.default_rng(0).integers(1, 90, sum(LENGTHS))
    batch = PackedBatch.from_arrays(ids, np.zeros_like(ids), np.array(LENGTHS))
    read = torch.tensor([2, 50, 60]) if reads_some else None
    seen: list[int] = []
    results = []
    for on_gpu in (False, True):
        if on_gpu:
            monkeypatch.setattr(torch.Tensor, "is_cuda", True)
            monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", _kernel(seen))
        model.zero_grad()
        hidden = model(batch, output_positions=read).last_hidden_state
        (hidden.cos() * torch.arange(hidden.numel()).view_as(hidden)).sum().backward()
        results.append(
            {name: p.grad for name, p in model.named_parameters() if p.grad is not None} | {"hidden": hidden}
        )
    assert seen == [sum(LENGTHS)] * config.num_hidden_layers
    torch.testing.assert_close(results[1], results[0], rtol=1e-5, atol=1e-5)


ANY_LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=20)


def _layout(lengths: list[int]) -> SequenceLayout:
    zeros = np.zeros(sum(lengths), np.int64)
    return SequenceLayout(PackedBatch.from_arrays(zeros, zeros, np.array(lengths)))


@given(ANY_LENGTHS)
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


@given(ANY_LENGTHS)
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
