"""First weights: random ones, and those that start from what is counted in a corpus."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bertkit.core.errors import InputError
from bertkit.core.randomness import derive_key
from bertkit.model.architecture import NeighbourStart
from bertkit.model.architectures import architecture_of
from bertkit.model.config import BertConfig
from bertkit.model.encoder import Encoder
from bertkit.model.layers import ResidualLinear


class _NothingDrawn(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


@contextmanager
def empty_weights(device: str = "meta") -> Iterator[None]:
    """Modules that are made inside have weights without values, on torch's meta device without memory as well.

    A weight that is drawn on the meta device, or moved from it, imports parts of torch that take longer than loading a
    model: a module that is to be filled from a file is made on the CPU at once.
    """
    with torch.device(device), _NothingDrawn():
        yield


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
    return _neighbour_start(config).dimensions(config)


@torch.no_grad()
def start_with_neighbours(encoder: Encoder, standard_deviation: float) -> None:
    """Let the first layer's heads begin by attending to the tokens beside, one head each to -1, +1, -2, +2 and so on.

    Everything is learned from there. From random weights a small model sees millions of tokens before its heads find
    the neighbours, and until then it predicts from frequency alone.
    """
    config = encoder.config
    _neighbour_start(config).set_weights(encoder.embeddings, encoder.layers[0], config, standard_deviation)


def _neighbour_start(config: BertConfig) -> NeighbourStart[Any]:
    start = architecture_of(config).neighbour_start
    if start is None:
        raise InputError(f"no first weights of {config.model_type} come from a corpus: use the paper's initial weights")
    return start


@torch.no_grad()
def start_with_word_vectors(encoder: Encoder, vectors: Tensor) -> None:
    """Put word vectors (V, K) of length 1 behind the dimensions of positions, as long as the random rows are there.

    An entry whose vector is zero keeps its random row.
    """
    first = position_dimensions(encoder.config)
    part = encoder.embeddings.word_embeddings.weight[:, first : first + vectors.shape[1]]
    known = vectors.any(dim=1)
    part[known] = vectors[known].to(part) * part.norm(dim=1).mean()


@torch.no_grad()
def start_with_frequencies(bias: Tensor, counts: Tensor) -> None:
    """Set the masked-LM decoder's bias (V,) to the log share of each entry, of which `counts` (V,) were seen.

    Training then begins at the unigram entropy in place of log V. Entries never seen count once.
    """
    counts = counts.double() + 1
    bias.copy_((counts / counts.mean()).log())
