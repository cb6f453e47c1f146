"""What taggers and classifiers share: a task's data, the encoder's hidden states on disk, a learned mix of layers."""
# K layers, R rows (texts or words), H hidden, F features of a layer.

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor, nn

from bertkit.core.arrays import run_positions, run_starts
from bertkit.core.console import progress
from bertkit.core.errors import InputError
from bertkit.core.files import atomic_folder
from bertkit.core.packing import PackedArrays
from bertkit.inference.backends.base import Output, TokenStates, pool_states
from bertkit.inference.features import FeaturePlan
from bertkit.inference.loaded_model import LoadedModel
from bertkit.studies.features.plan import FeatureStudyOptions
from bertkit.tasks.classification import Classification
from bertkit.tasks.contract import Task, TaskInstances
from bertkit.tasks.data import TaskData
from bertkit.tasks.examples import hold_out
from bertkit.tasks.tagging.task import Tagging
from bertkit.text.sequences import EncodedExample

_DEV_SHARE = 0.1
"""Of the training examples, where a task has no dev set."""
_Arrays = Mapping[tuple[str, int], NDArray[Any]]


@dataclass(frozen=True)
class StudyData:
    """A task, the instances that it is trained and measured on, and a description of its dev set."""

    name: str
    task: Task[Any]
    parts: Mapping[str, TaskInstances[Any]]
    """"train"; "dev", unless each seed holds out its own; "test" where there is one."""
    dev: str

    @classmethod
    def of(cls, data: TaskData, model: LoadedModel, options: FeatureStudyOptions) -> StudyData:
        """Encode the examples; raises `InputError` for kinds of tasks that this study does not cover."""
        if not issubclass(data.family, Classification | Tagging):
            raise InputError(f"{data.name} is {data.family.kind}: features are studied on classification and tagging")
        if options.hold_out is not None and issubclass(data.family, Tagging):
            raise InputError("hold_out is for texts with labels: tags are measured on dev")
        longest = model.config.max_length
        task = data.task(
            min(data.family.usual_max_length, longest)
            if options.max_length is None
            else model.longest(options.max_length)
        )
        train, dev, name = data.train, data.dev, "as given"
        if options.train_rows is not None:
            train = train.take(range(min(options.train_rows, len(train))))
        if options.hold_out is not None:
            dev, name = None, f"{options.hold_out:.0%} of the training texts, another sample for each seed"
        elif dev is None:
            train, dev = hold_out(train, task.strata(train), _DEV_SHARE, 0, task.groups(train))
            name = f"{len(dev):,} of the training examples"
        given = {"train": train, "dev": dev, "test": data.test}
        parts = {part: task.encode(found, model.tokenizer) for part, found in given.items() if found is not None}
        return cls(data.name, task, parts, name)

    @property
    def warnings(self) -> list[str]:
        """Warnings about the data, each with its part's name."""
        return [f"{name}: {text}" for name, part in self.parts.items() for text in part.all_warnings]


@dataclass(frozen=True)
class FeatureCache:
    """A folder that `cache_features` wrote."""

    folder: Path

    def layers(self, pooling: str, layers: Sequence[int]) -> list[NDArray[Any]]:
        """Each layer's (R, F), memory-mapped: float16 of words, float32 of texts."""
        return [np.load(_file(self.folder, pooling, layer), mmap_mode="r") for layer in layers]


def cache_features(
    model: LoadedModel,
    sequences: Sequence[EncodedExample],
    plans: Mapping[str, FeaturePlan],
    folder: Path,
    *,
    kept: NDArray[np.bool_] | None = None,
) -> FeatureCache:
    """Run the encoder over the sequences and write every plan's layers, unless `folder` exists.

    Plans with a vector a token keep only the tokens that `kept` marks, a bool for each token of all sequences.
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

    layers = tuple(sorted({layer for plan in plans.values() for layer in plan.layers}))

    def vectors_of_plans(batch: PackedArrays, output: Output) -> dict[str, NDArray[np.float32]]:
        states = dict(zip(layers, output, strict=True))
        return {
            pooling: np.concatenate([_pooled(states[layer], batch, plan) for layer in plan.layers], 1)
            for pooling, plan in plans.items()
        }

    with progress("encoding", len(sequences), "sequences") as bar:
        for indices, found in model.engine.map(sequences, TokenStates(layers), vectors_of_plans):
            for pooling, vectors in found.items():
                if kept is None or places is None:
                    _put(arrays, pooling, plans[pooling], indices, vectors)
                else:
                    tokens = run_positions(starts[indices], lengths[indices])
                    chosen = kept[tokens]
                    _put(arrays, pooling, plans[pooling], places[tokens[chosen]], vectors[chosen])
            bar.advance(len(indices))


def _pooled(states: NDArray[np.float32], batch: PackedArrays, plan: FeaturePlan) -> NDArray[np.float32]:
    if plan.is_per_token:
        return states
    return pool_states(states, batch, "mean" if plan.pooling == "mean" else "first")


def _put(
    arrays: _Arrays, pooling: str, plan: FeaturePlan, rows: NDArray[np.int64], vectors: NDArray[np.float32]
) -> None:
    for layer, part in zip(plan.layers, np.split(vectors, len(plan.layers), axis=1), strict=True):
        arrays[pooling, layer][rows] = part


def _new_array(path: Path, rows: int, plan: FeaturePlan) -> NDArray[Any]:
    """A memory-mapped array with its space reserved: a full disk is an error here, not a crash while writing."""
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


class LayerMix(nn.Module):
    """The sum over k of softmax(scores)_k times layer k (Peters et al. 2018, equation 1, whose factor is left out).

    The linear layer or LSTM above can learn the factor. All layers start with the same weight.
    """

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(num_layers))

    @property
    def weights(self) -> Tensor:
        """(K,), which sum to 1."""
        return self.scores.softmax(0)

    def forward(self, layers: Tensor) -> Tensor:
        """(K, R, H) to (R, H)."""
        return torch.einsum("k,krh->rh", self.weights, layers)
