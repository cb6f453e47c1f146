"""Checkpoints that are whole or absent, and hold all that a run needs to go on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from bertkit.foundation.console import note
from bertkit.foundation.errors import InputError
from bertkit.foundation.files import atomic_folder, read_json, sha256, write_json

_PREFIX = "step-"
_TENSOR_FILES = ("weights", "optimizer")


@dataclass(frozen=True)
class Checkpoint:
    """State after `step` steps. Random draws are functions of the seed and the step, so these need no state."""

    step: int
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    progress: Mapping[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> None:
    """Write into a folder of its own name under `folder` and remove all but the newest `keep`."""
    with atomic_folder(folder / f"{_PREFIX}{checkpoint.step:08d}") as path:
        for name in _TENSOR_FILES:
            tensors = getattr(checkpoint, name)
            save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path / f"{name}.safetensors")
        digests = {name: sha256(path / f"{name}.safetensors") for name in _TENSOR_FILES}
        state = {"step": checkpoint.step, "progress": dict(checkpoint.progress), "sha256": digests}
        write_json(path / "state.json", state)
    for old in _folders(folder)[:-keep]:
        shutil.rmtree(old)


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """Read the newest checkpoint that is whole; a damaged one is named and passed over."""
    damaged = []
    for path in reversed(_folders(folder)):
        try:
            return _read(path)
        except InputError as error:
            damaged.append(path)
            note(f"passed over a damaged checkpoint: {error}")
    if damaged:
        raise InputError(f"no whole checkpoint is left in {folder}: start again with --no-resume")
    return None


def _folders(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{_PREFIX}*"))


def _read(path: Path) -> Checkpoint:
    state = read_json(path / "state.json")
    for name in _TENSOR_FILES:
        file = path / f"{name}.safetensors"
        if not file.is_file() or sha256(file) != state["sha256"][name]:
            raise InputError(f"{file} is missing or not what was written")
    weights, optimizer = (load_file(path / f"{name}.safetensors") for name in _TENSOR_FILES)
    return Checkpoint(state["step"], weights, optimizer, state["progress"])
