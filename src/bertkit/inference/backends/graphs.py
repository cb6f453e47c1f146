"""What backends on graph runtimes share: padded batches, and a graph for each kind of want."""
# B sequences, S the longest, T tokens, R tokens that are read, H hidden, C outputs of a head, V vocabulary.

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bertkit.core.errors import BertkitError, InputError
from bertkit.core.packing import PackedArrays
from bertkit.core.per_process import PerProcess
from bertkit.inference.backends.base import (
    MASKED_LM,
    HeadLogits,
    Output,
    PooledStates,
    SequenceStates,
    StatePooling,
    TokenStates,
    Want,
    find_positions,
)
from bertkit.inference.backends.graph_cache import forget_graphs
from bertkit.inference.backends.table import BackendOptions, heads_of
from bertkit.inference.export.names import (
    ATTENTION_MASK,
    INPUT_IDS,
    LAST_HIDDEN_STATE,
    MASKED_LM_ROWS,
    POOLER_OUTPUT,
    POSITIONS,
    TASK_ROWS,
    TOKEN_TYPE_IDS,
    hidden_state_output,
)
from bertkit.pretrained.folder import ModelFolder

_BATCH_TOKENS = 2048
"""Of a batch, padding counted: what one core's cache holds."""

Arrays = Mapping[str, NDArray[np.int64]]
RunGraph = Callable[[Arrays], list[NDArray[np.float32]]]
"""A graph that is ready to run: from its inputs by name to its outputs in their order."""


class GraphBackend(ABC):
    """Pads batches, and has a graph with just the outputs of each kind of want, made when it is first asked for."""

    name: str
    device = "cpu"
    is_padded = True
    max_tokens = _BATCH_TOKENS

    def __init__(self, folder: ModelFolder, options: BackendOptions) -> None:
        self._folder, self._config, self.options = folder, folder.config, options
        self._stream = threading.local()
        self._graphs: PerProcess[tuple[tuple[str, ...], int], RunGraph] = PerProcess(lambda key: self._ready(*key))

    def _ready(self, outputs: tuple[str, ...], threads: int) -> RunGraph:
        try:
            return self._load(outputs, threads)
        except BertkitError:
            raise
        except Exception:  # each runtime has errors of its own for a file that is broken, which is made again
            forget_graphs(self._folder)
            return self._load(outputs, threads)

    @abstractmethod
    def _load(self, outputs: tuple[str, ...], threads: int) -> RunGraph:
        """Make a graph ready to run on so many cores."""

    @property
    def precision(self) -> str:
        """Of the graph."""
        return self.options.precision

    @property
    def streams(self) -> int:
        """One a core."""
        return self.options.threads

    @property
    def layers(self) -> range:
        """All."""
        return range(self._config.num_hidden_layers + 1)

    @property
    def has_pooler(self) -> bool:
        """Whether the folder has its weights."""
        return self._folder.has_pooler

    @property
    def heads(self) -> Collection[str]:
        """The folder's."""
        return heads_of(self._folder)

    def start_stream(self) -> None:
        """From now on the calling thread runs graphs that use one core."""
        self._stream.threads = 1

    def run(self, batch: PackedArrays, want: Want) -> Output:
        """One pass over the batch, padded to its longest sequence."""
        if batch.max_seqlen > self._config.max_length:
            raise InputError(
                f"a text of {batch.max_seqlen:,} tokens is longer than the {self._config.max_length:,} positions of "
                f"{self._folder.path}: cut it with max_length"
            )
        mask = np.arange(batch.max_seqlen) < batch.lengths[:, None]  # (B, S)
        match want:
            case PooledStates():
                return tuple(self._run((POOLER_OUTPUT,), batch, mask))
            case SequenceStates(layers, pooling):
                states = self._states(layers, batch, mask)
                return tuple(_pooled(each, mask, batch.lengths, pooling) for each in states)
            case TokenStates(layers, positions):
                places = find_positions(batch, positions)
                tokens = [each[mask] for each in self._states(layers, batch, mask)]
                return tuple(tokens if places is None else [each[places] for each in tokens])
            case HeadLogits(head, positions):
                assert head in self.heads, f"there is no head {head}"
                if head == MASKED_LM:
                    return (self._masked_lm(batch, mask, find_positions(batch, positions)),)
                (rows,) = self._run((TASK_ROWS,), batch, mask)
                return (rows[mask] if rows.ndim == 3 else rows,)

    def _states(self, layers: Sequence[int], batch: PackedArrays, mask: NDArray[np.bool_]) -> list[NDArray[np.float32]]:
        """Hidden states (B, S, H) behind each layer: of the last alone, or of any by a graph that gives all."""
        if tuple(layers) == (self._config.num_hidden_layers,):
            return self._run((LAST_HIDDEN_STATE,), batch, mask)
        found = self._run(tuple(hidden_state_output(layer) for layer in self.layers), batch, mask)
        return [found[layer] for layer in layers]

    def _masked_lm(
        self, batch: PackedArrays, mask: NDArray[np.bool_], places: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        tokens = np.flatnonzero(mask)  # (T,) places in the padded batch
        chosen = tokens if places is None else tokens[places]
        if not len(chosen):
            return np.empty((0, self._config.vocab_size), np.float32)
        (rows,) = self._run((MASKED_LM_ROWS,), batch, mask, {POSITIONS: chosen})
        return rows

    def _run(
        self, outputs: tuple[str, ...], batch: PackedArrays, mask: NDArray[np.bool_], more: Arrays | None = None
    ) -> list[NDArray[np.float32]]:
        graph = self._graphs.get((outputs, getattr(self._stream, "threads", self.options.threads)))
        return graph({**self._padded(batch, mask), **(more or {})})

    def _padded(self, batch: PackedArrays, mask: NDArray[np.bool_]) -> Arrays:
        ids = np.full(mask.shape, self._config.pad_token_id, np.int64)
        ids[mask] = batch.input_ids
        arrays = {INPUT_IDS: ids, ATTENTION_MASK: mask.astype(np.int64)}
        if self._config.type_vocab_size > 1:
            arrays[TOKEN_TYPE_IDS] = np.zeros(mask.shape, np.int64)
            arrays[TOKEN_TYPE_IDS][mask] = batch.token_type_ids
        return arrays


def _pooled(
    states: NDArray[np.float32], mask: NDArray[np.bool_], lengths: NDArray[np.int64], pooling: StatePooling
) -> NDArray[np.float32]:
    """(B, S, H) to (B, H)."""
    if pooling == "first":
        return np.ascontiguousarray(states[:, 0])
    kept = states if mask.all() else states * mask[:, :, None]
    means: NDArray[np.float32] = kept.sum(1) * (1 / lengths).astype(np.float32)[:, None]
    return means
