"""What runs a model: the requests that an engine makes of a backend, and what a backend has to offer. Without torch."""
# T tokens, B sequences, R tokens that are read, H hidden, C outputs of a head, V vocabulary.

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bertkit.core.packing import PackedArrays

MASKED_LM, TASK = "masked_lm", "task"
"""Names of heads: vocabulary entries for hidden tokens, and what the model was fine-tuned on."""


@dataclass(frozen=True)
class TokensWithId:
    """The tokens of a batch that have this id, such as [MASK]."""

    token_id: int


Positions = Literal["all", "first"] | TokensWithId
"""Which tokens of a batch are read: all, the first of every sequence, or those with an id; in the batch's order."""


def find_positions(batch: PackedArrays, positions: Positions) -> NDArray[np.int64] | None:
    """The places (R,) of the tokens that are read; None for all of them."""
    if positions == "all":
        return None
    if positions == "first":
        return batch.cu_seqlens[:-1].astype(np.int64)
    return np.flatnonzero(batch.input_ids == positions.token_id)


StatePooling = Literal["mean", "first"]
"""One row a sequence: the mean of its tokens, or its first token, [CLS]."""


def pool_states(states: NDArray[np.float32], batch: PackedArrays, pooling: StatePooling) -> NDArray[np.float32]:
    """One row a sequence of the states of all tokens: (T, H) to (B, H)."""
    starts = batch.cu_seqlens[:-1]
    if pooling == "first":
        return states[starts]
    sums: NDArray[np.float32] = np.add.reduceat(states, starts)
    return sums * (1 / batch.lengths).astype(np.float32)[:, None]


@dataclass(frozen=True)
class PooledStates:
    """What the pooler makes of every sequence: one array (B, H)."""


@dataclass(frozen=True)
class SequenceStates:
    """Hidden states behind each of `layers`, counted from 0, the embeddings, pooled: as many arrays (B, H)."""

    layers: tuple[int, ...]
    pooling: StatePooling = "mean"


@dataclass(frozen=True)
class TokenStates:
    """Hidden states behind each of `layers` of the tokens at `positions`: as many arrays (R, H)."""

    layers: tuple[int, ...]
    positions: Positions = "all"


@dataclass(frozen=True)
class HeadLogits:
    """Logits of a head, one array: masked LM's (R, V) for the tokens at `positions`, or the task's own rows (R, C)."""

    head: str
    positions: Positions = "all"


Want = PooledStates | SequenceStates | TokenStates | HeadLogits
Output = tuple[NDArray[np.float32], ...]
"""The arrays that a `Want` names, in float32."""


class Backend(Protocol):
    """A model that is ready to run; it owns its weights and is called from several threads at once."""

    @property
    def name(self) -> str:
        """As `bertkit.load(backend=...)` takes it."""

    @property
    def device(self) -> str:
        """The kind of device that computes: "cpu", "cuda"."""

    @property
    def precision(self) -> str:
        """The number format of the weights, "float32", "bf16" or "int8": with them it decides the bits of an output."""

    @property
    def is_padded(self) -> bool:
        """Whether it pads the sequences of a batch to one length, so that padding counts against a token budget."""

    @property
    def max_tokens(self) -> int:
        """Tokens of a batch that suit the device."""

    @property
    def streams(self) -> int:
        """How many batches it computes best side by side, each in a thread of its own that called `start_stream`."""

    @property
    def layers(self) -> Collection[int]:
        """The layers that it can give states of, counted from 0, the embeddings."""

    @property
    def has_pooler(self) -> bool:
        """Whether it can give `PooledStates`."""

    @property
    def heads(self) -> Collection[str]:
        """Names of the heads that it can give `HeadLogits` of."""

    def start_stream(self) -> None:
        """From now on `run` in the calling thread uses one core."""

    def run(self, batch: PackedArrays, want: Want) -> Output:
        """Compute what is wanted of a batch, which has at least one sequence; outside of streams with every core."""
