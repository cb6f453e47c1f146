"""- first weights, also those started from the corpus."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bertkit.core.errors import InputError
from bertkit.core.randomness import derive_key
from bertkit.model.config import BertConfig, ModernBertConfig
from bertkit.model.encoder import Encoder
from bertkit.model.layers import BertEmbeddings, BertLayer, ResidualLinear
from bertkit.model.modern import ModernEmbeddings, ModernLayer

SLOWEST = 0.1
"""Radians a token, of the slowest sine that tells tokens 60 apart."""
NOISE_BESIDE = 0.2
"""What is left of the random weights, so that heads and rows differ."""


def shift_of(head: int) -> int:
    """Where a head looks: -1, +1, -2, +2 and so on."""
    return (head // 2 + 1) * (1 if head % 2 else -1)


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


_SHARE_FOR_POSITIONS = 4
"""A quarter of the width, or a head's size where that is less, is kept for positions."""
_FASTEST = 2.0
"""Radians a token of the fastest sine, which tells neighbours apart."""
_INITIALIZATION_PEAK_SCORE = 8.0
"""Score of the token a head looks for, before softmax; tokens far from it score about 0."""


def initialize(module: nn.Module, standard_deviation: float, seed: int) -> None:
    """Matrices from a normal distribution truncated at two deviations, biases 0, LayerNorm 1 and 0.

    As the original draws them (google-research/bert, modeling.py: create_initializer), and in ModernBERT, what is added
    to the residual stream with less.

    Every tensor has its own stream, named after it, so adding a head changes no other tensor.
    """
    for name, child in module.named_modules():
        if isinstance(child, nn.Linear | nn.Embedding):
            generator = torch.Generator().manual_seed(derive_key(seed, "initialize", name) >> 1)
            additions = child.additions if isinstance(child, ResidualLinear) else 1
            deviation = standard_deviation / math.sqrt(additions)
            nn.init.trunc_normal_(child.weight, 0.0, deviation, -2 * deviation, 2 * deviation, generator=generator)
        if isinstance(child, nn.Linear) and child.bias is not None:
            nn.init.zeros_(child.bias)
        if isinstance(child, nn.LayerNorm):
            nn.init.ones_(child.weight)
            if child.bias is not None:
                nn.init.zeros_(child.bias)


def position_dimensions(config: BertConfig) -> int:
    """How many of the first dimensions `start_with_neighbours` keeps for positions."""
    if isinstance(config, ModernBertConfig):
        return CONSTANT_DIMENSIONS
    free = 2 * (min(config.head_size, config.hidden_size // _SHARE_FOR_POSITIONS) // 2)
    if not free:
        raise InputError(f"hidden_size {config.hidden_size} has no room for positions: use the paper's initial weights")
    return free


@torch.no_grad()
def start_with_neighbours(bert: Encoder, standard_deviation: float) -> None:
    """Let the first layer's heads begin by attending to the tokens beside, one head each to -1, +1, -2, +2 and so on.

    Positions become sines and cosines in the first dimensions, which the word and segment embeddings leave free; there
    a shift is one rotation for all positions (Vaswani et al. 2017, section 3.5), so a query that is the key turned by a
    shift finds the token at that distance. Everything is learned from there. From random weights a small model sees
    millions of tokens before its heads find the neighbours, and until then it predicts from frequency alone.
    """
    config = bert.config
    embeddings, first = bert.embeddings, bert.layers[0]
    if isinstance(config, ModernBertConfig):
        assert isinstance(embeddings, ModernEmbeddings) and isinstance(first, ModernLayer)
        start_with_rotary_neighbours(embeddings, first, config)
        return
    hidden, heads, size = config.hidden_size, config.num_attention_heads, config.head_size
    free = position_dimensions(config)
    assert isinstance(embeddings, BertEmbeddings) and isinstance(first, BertLayer)
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
    gain = math.sqrt(_INITIALIZATION_PEAK_SCORE * math.sqrt(size) / (hidden / 2))
    query, key, _ = first.attention.query_key_value.weight.view(3, heads, size, hidden)
    for head in range(heads):
        for part, angle in ((query, frequencies * shift_of(head)), (key, torch.zeros_like(frequencies))):
            part[head] *= NOISE_BESIDE
            rows = torch.arange(0, free, 2)
            part[head, rows, rows] += gain * torch.cos(angle)
            part[head, rows, rows + 1] += gain * torch.sin(angle)
            part[head, rows + 1, rows] -= gain * torch.sin(angle)
            part[head, rows + 1, rows + 1] += gain * torch.cos(angle)


@torch.no_grad()
def start_with_word_vectors(bert: Encoder, vectors: Tensor) -> None:
    """Put word vectors (V, K) of length 1 behind the dimensions of positions, as long as the random rows are there.

    An entry whose vector is zero keeps its random row.
    """
    first = position_dimensions(bert.config)
    part = bert.embeddings.word_embeddings.weight[:, first : first + vectors.shape[1]]
    known = vectors.any(dim=1)
    part[known] = vectors[known].to(part) * part.norm(dim=1).mean()


@torch.no_grad()
def start_with_frequencies(bias: Tensor, counts: Tensor) -> None:
    """Set the masked-LM decoder's bias (V,) to the log share of each entry, of which `counts` (V,) were seen.

    Training then begins at the unigram entropy in place of log V. Entries never seen count once.
    """
    counts = counts.double() + 1
    bias.copy_((counts / counts.mean()).log())
