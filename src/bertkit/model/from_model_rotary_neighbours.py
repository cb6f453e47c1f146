"""ModernBERT's first heads at the neighbouring tokens."""

from __future__ import annotations

import math

import torch

from bertkit.model.modern_config import ModernBertConfig
from bertkit.model.modern_embeddings import ModernEmbeddings
from bertkit.model.modern_layer import ModernLayer
from bertkit.model.neighbour_heads import NOISE_BESIDE, SLOWEST, shift_of

CONSTANT_DIMENSIONS = 1
"""A first dimension in which all words have the same number, as there are no biases that could hold it."""
_CONSTANT_SHARE = 0.5
"""Its length beside the words'."""
_PEAK_SCORE = 16.0
"""Score of the token a head looks for, before softmax: that of the tokens beside it is about 2 less."""


@torch.no_grad()
def start_with_rotary_neighbours(embeddings: ModernEmbeddings, first: ModernLayer, config: ModernBertConfig) -> None:
    """Let the first layer's heads begin by attending to the tokens beside, whatever the words are.

    Queries and keys that are the same for all words are turned by their positions alone, so that a query that starts
    turned by a shift meets the key at that distance. The slowest dimensions would not tell neighbours apart.
    """
    words = embeddings.word_embeddings.weight
    words[:, 0] = _CONSTANT_SHARE * words[:, 1:].norm(dim=1).mean()
    # After LayerNorm a row has length sqrt(H), of which this is the constant's part.
    constant = math.sqrt(config.hidden_size) * _CONSTANT_SHARE / math.sqrt(1 + _CONSTANT_SHARE**2)

    heads, size = config.num_attention_heads, config.head_size
    half = size // 2
    frequencies = config.global_rope_theta ** (-torch.arange(half) / half)  # radians a token, the fastest first
    used = int((frequencies >= SLOWEST).sum())
    gain = math.sqrt(_PEAK_SCORE * math.sqrt(size) / used) / constant
    query, key, _ = first.attention.query_key_value.weight.view(3, heads, size, config.hidden_size)
    for head in range(heads):
        angles = frequencies[:used] * shift_of(head)
        for part in (query, key):
            part[head] *= NOISE_BESIDE
        query[head, :used, 0] += gain * torch.cos(angles)
        query[head, half : half + used, 0] += gain * torch.sin(angles)
        key[head, :used, 0] += gain
