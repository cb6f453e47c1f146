"""BERT (Devlin et al. 2019), RoBERTa (Liu et al. 2019) and DistilBERT (Sanh et al. 2019), which differ little."""
# A heads, D head size, H hidden.

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import nn

from bertkit.core.errors import InputError
from bertkit.model.architecture import RANDOM_SHARE, SLOWEST, Architecture, NeighbourStart, shift_of
from bertkit.model.config import BertConfig, DistilBertConfig, RobertaConfig
from bertkit.model.layers import BertEmbeddings, BertLayer, Pooler, PredictionTransform, activation


def bert_transform(config: BertConfig, *, hidden_act: str | None = None) -> PredictionTransform:
    """Dense, GELU and LayerNorm, to the width of the word embeddings."""
    width = config.embedding_size
    return PredictionTransform(
        nn.Linear(config.hidden_size, width),
        activation(hidden_act or config.hidden_act),
        nn.LayerNorm(width, eps=config.layer_norm_eps),
    )


def exact_transform(config: BertConfig) -> PredictionTransform:
    """The transform with the exact GELU, even where the layers have the tanh form."""
    return bert_transform(config, hidden_act="gelu")


_POSITION_SHARE = 4
"""A quarter of the width, or a head's size where that is less, is kept for positions."""
_FASTEST = 2.0
"""Radians a token of the fastest sine, which tells neighbours apart."""
_PEAK_SCORE = 8.0
"""Score of the token a head looks for, before softmax; tokens far from it score about 0."""


def _position_dimensions(config: BertConfig) -> int:
    free = 2 * (min(config.head_size, config.hidden_size // _POSITION_SHARE) // 2)
    if not free:
        raise InputError(f"hidden_size {config.hidden_size} has no room for positions: use the paper's initial weights")
    return free


def _start_with_neighbours(
    embeddings: BertEmbeddings, first: BertLayer, config: BertConfig, standard_deviation: float
) -> None:
    """Let positions be sines and cosines in the first dimensions, which word and segment embeddings leave free.

    There a shift is one rotation for all positions (Vaswani et al. 2017, section 3.5), so a query that is the key
    turned by a shift finds the token at that distance.
    """
    hidden, heads, size = config.hidden_size, config.num_attention_heads, config.head_size
    free = _position_dimensions(config)
    frequencies = torch.logspace(math.log10(_FASTEST), math.log10(SLOWEST), free // 2)  # radians a token
    embeddings.word_embeddings.weight[:, :free] = 0
    if embeddings.token_type_embeddings is not None:
        embeddings.token_type_embeddings.weight[:, :free] = 0
    angles = torch.arange(config.max_position_embeddings)[:, None] * frequencies
    # The whole row has the length of a random one, so that words and positions weigh alike in the sum.
    amplitude = standard_deviation * math.sqrt(2 * hidden / free)
    table = embeddings.position_embeddings.weight.zero_()
    table[:, 0:free:2], table[:, 1:free:2] = amplitude * torch.sin(angles), amplitude * torch.cos(angles)

    # After LayerNorm a row has squared length H, of which about half is the position's.
    gain = math.sqrt(_PEAK_SCORE * math.sqrt(size) / (hidden / 2))
    query, key, _ = first.attention.query_key_value.weight.view(3, heads, size, hidden)
    for head in range(heads):
        for part, angle in ((query, frequencies * shift_of(head)), (key, torch.zeros_like(frequencies))):
            part[head] *= RANDOM_SHARE
            rows = torch.arange(0, free, 2)
            part[head, rows, rows] += gain * torch.cos(angle)
            part[head, rows, rows + 1] += gain * torch.sin(angle)
            part[head, rows + 1, rows] -= gain * torch.sin(angle)
            part[head, rows + 1, rows + 1] += gain * torch.cos(angle)


BERT = Architecture(
    config_type=BertConfig,
    embeddings=BertEmbeddings,
    layer=lambda config, _: BertLayer(config),
    pooler=lambda config: Pooler(config.hidden_size, nn.Tanh()),
    masked_lm_transform=bert_transform,
    neighbour_start=NeighbourStart(dimensions=_position_dimensions, set_weights=_start_with_neighbours),
)
ROBERTA = replace(BERT, config_type=RobertaConfig, masked_lm_transform=exact_transform)
DISTILBERT = replace(BERT, config_type=DistilBertConfig, pooler=lambda config: Pooler(config.hidden_size, nn.ReLU()))
