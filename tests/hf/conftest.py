"""A tiny configuration and a ragged batch."""

import pytest
import torch
from torch import Tensor

from bertkit.hf import BertConfig


@pytest.fixture
def config() -> BertConfig:
    return BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=20,
        num_labels=3,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.2,
    )


@pytest.fixture
def batch() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    mask = (torch.arange(12) < torch.tensor([12, 3, 7])[:, None]).long()
    ids = torch.randint(1, 50, (3, 12), generator=draw) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": (torch.arange(12) > 5) * mask}
