"""What runs a model: the requests that an engine makes of a backend, and what a backend has to offer."""
# T tokens, B sequences, R tokens that are read, H hidden, C outputs of a head, V vocabulary.

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from bertkit.core.batch import PackedBatch

MASKED_LM, TASK = "masked_lm", "task"
"""Names of heads: vocabulary entries for hidden tokens, and what the model was fine-tuned on."""


@dataclass(frozen=True)
class TokensWithId:
    """The tokens of a batch that have this id, such as [MASK]."""

    token_id: int


Positions = Literal["all", "first"] | TokensWithId
"""Which tokens of a batch are read: all, the first of every sequence, or those with an id; in the batch's order."""


def find_positions(batch: PackedBatch, positions: Positions) -> Tensor | None:
    """The places (R,) of the tokens that are read; None for all of them."""
    if positions == "all":
        return None
    if positions == "first":
        return batch.cu_seqlens[:-1]
    return (batch.input_ids == positions.token_id).nonzero().squeeze(-1)


@dataclass(frozen=True)
class PooledStates:
    """What the pooler makes of every sequence: one tensor (B, H)."""


@dataclass(frozen=True)
class TokenStates:
    """Last hidden states of the tokens at `positions`: one tensor (R, H)."""

    positions: Positions = "all"


@dataclass(frozen=True)
class LayerStates:
    """Hidden states of all tokens behind each of `layers`, counted from 0, the embeddings: as many tensors (T, H)."""

    layers: tuple[int, ...]


@dataclass(frozen=True)
class HeadLogits:
    """Logits of a head, one tensor: masked LM's (R, V) for the tokens at `positions`, or the task's own rows (R, C)."""

    head: str
    positions: Positions = "all"


Want = PooledStates | TokenStates | LayerStates | HeadLogits
Output = tuple[Tensor, ...]
"""The tensors that a `Want` names, on the backend's device and in its precision."""


class Backend(Protocol):
    """A model that is ready to run; it owns its weights and is called from several threads at once."""

    @property
    def device(self) -> torch.device:
        """Where it takes batches."""

    @property
    def is_padded(self) -> bool:
        """Whether it pads the sequences of a batch to one length, so that padding counts against a token budget."""

    @property
    def precision(self) -> str:
        """Name of the weights' number format: with the weights it decides the bits of an output."""

    @property
    def has_pooler(self) -> bool:
        """Whether it can give `PooledStates`."""

    @property
    def heads(self) -> Collection[str]:
        """Names of the heads that it can give `HeadLogits` of."""

    def run(self, batch: PackedBatch, want: Want) -> Output:
        """Compute what is wanted of a batch on its device."""
