"""Rows that belong to no sequence: where they are added, and that nothing comes out of them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from bertkit.foundation.packed_batch import PackedBatch
from bertkit.model import attention
from bertkit.model.bert import BertModel
from bertkit.model.config import BertConfig
from bertkit.model.initialization import initialize
from bertkit.model.modern_config import ModernBertConfig

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
    model = BertModel(config).double()
    initialize(model, 0.1, seed=0)
    ids = np.random.default_rng(0).integers(1, 90, sum(LENGTHS))
    batch = PackedBatch.from_arrays(ids, np.zeros_like(ids), np.array(LENGTHS))
    read = torch.tensor([2, 50, 60]) if reads_some else None
    seen: list[int] = []
    results = []
    for on_gpu in (False, True):
        if on_gpu:
            monkeypatch.setattr(torch.Tensor, "is_cuda", True)
            monkeypatch.setattr(attention, "varlen_attn", _kernel(seen))
        model.zero_grad()
        hidden = model(batch, read=read).last_hidden_state
        (hidden.cos() * torch.arange(hidden.numel()).view_as(hidden)).sum().backward()
        results.append(
            {name: p.grad for name, p in model.named_parameters() if p.grad is not None} | {"hidden": hidden}
        )
    assert seen == [sum(LENGTHS)] * config.num_hidden_layers
    torch.testing.assert_close(results[1], results[0], rtol=1e-5, atol=1e-5)
