"""Hidden states computed once and kept on the disk, a memory-mapped file a layer."""
# R rows (texts or words), F features of a layer.

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from bertkit.foundation.console import progress
from bertkit.foundation.files import atomic_folder
from bertkit.foundation.packed_batch import PackedBatch
from bertkit.foundation.ragged import run_positions, run_starts
from bertkit.inference.feature_plan import FeaturePlan
from bertkit.inference.loaded_model import LoadedModel
from bertkit.inference.streams import Streams
from bertkit.inference.text_batches import run_sequences
from bertkit.model.bert import EncoderOutput
from bertkit.text.encoded_example import EncodedExample

_Arrays = Mapping[tuple[str, int], NDArray[Any]]


@dataclass(frozen=True)
class FeatureCache:
    """Files that `cache_features` wrote."""

    folder: Path

    def layers(self, pooling: str, layers: Sequence[int]) -> list[NDArray[Any]]:
        """Each layer's (R, F), float16 of words and float32 of texts, not read before it is used."""
        return [np.load(_file(self.folder, pooling, layer), mmap_mode="r") for layer in layers]


def cache_features(
    model: LoadedModel,
    sequences: Sequence[EncodedExample],
    plans: Mapping[str, FeaturePlan],
    folder: Path,
    *,
    kept: NDArray[np.bool_] | None = None,
) -> FeatureCache:
    """Run the encoder over the sequences and write every plan's layers, unless `folder` is there.

    Plans with a vector a token keep those tokens, of all sequences end to end, that `kept` marks.
    """
    if not folder.is_dir():
        with atomic_folder(folder) as temporary:
            _fill(model, sequences, plans, temporary, kept)
    return FeatureCache(folder)


def _fill(
    model: LoadedModel,
    sequences: Sequence[EncodedExample],
    plans: Mapping[str, FeaturePlan],
    folder: Path,
    kept: NDArray[np.bool_] | None,
) -> None:
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    starts = run_starts(lengths)
    places = None if kept is None else np.cumsum(kept) - 1
    rows = len(sequences) if kept is None else int(kept.sum())
    arrays = {
        (pooling, layer): _new_array(_file(folder, pooling, layer), rows, plan)
        for pooling, plan in plans.items()
        for layer in plan.layers
    }

    def answer(batch: PackedBatch, output: EncoderOutput) -> dict[str, NDArray[np.float32]]:
        return {pooling: plan.vectors(batch, output).cpu().numpy() for pooling, plan in plans.items()}

    with progress("encoding", len(sequences), "sequences") as bar:
        for indices, found in run_sequences(model, Streams(model.device), sequences, answer, output_hidden_states=True):
            for pooling, vectors in found.items():
                if kept is None or places is None:
                    _put(arrays, pooling, plans[pooling], indices, vectors)
                else:
                    tokens = run_positions(starts[indices], lengths[indices])
                    chosen = kept[tokens]
                    _put(arrays, pooling, plans[pooling], places[tokens[chosen]], vectors[chosen])
            bar.advance(len(indices))


def _put(
    arrays: _Arrays, pooling: str, plan: FeaturePlan, rows: NDArray[np.int64], vectors: NDArray[np.float32]
) -> None:
    for layer, part in zip(plan.layers, np.split(vectors, len(plan.layers), axis=1), strict=True):
        arrays[pooling, layer][rows] = part


def _new_array(path: Path, rows: int, plan: FeaturePlan) -> NDArray[Any]:
    """An array on the disk whose room is taken at once: a full disk shows here and not as a crash while writing."""
    dtype = np.dtype(np.float16 if plan.is_per_token else np.float32)
    shape = (rows, plan.hidden_size)
    with path.open("wb") as file:
        npy.write_array_header_1_0(file, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
        size = file.tell() + rows * plan.hidden_size * dtype.itemsize
        file.flush()
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
    array: NDArray[Any] = np.load(path, mmap_mode="r+")
    return array


def _file(folder: Path, pooling: str, layer: int) -> Path:
    return folder / f"{pooling}-{layer:02d}.npy"
