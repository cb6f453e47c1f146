"""Which backend runs a model: the one asked for, or the fastest by a short trial, remembered for the machine."""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from bertkit.core.console import note
from bertkit.core.errors import BertkitError, InputError
from bertkit.core.files import read_json, write_json
from bertkit.core.lazy import lazy_module
from bertkit.core.machine import (
    BackendName,
    InferencePrecision,
    cache_folder,
    cpu_flags,
    cpu_name,
    default_threads,
    has_cuda_device,
)
from bertkit.core.packing import PackedArrays
from bertkit.inference.backends.base import Backend, SequenceStates
from bertkit.inference.backends.graph_cache import forget_graphs, has_graphs
from bertkit.inference.backends.table import BACKENDS, BackendOptions, backend_family
from bertkit.pretrained.folder import ModelFolder

if TYPE_CHECKING:
    import torch

    from bertkit.core import devices
else:
    torch = lazy_module("torch")
    devices = lazy_module("bertkit.core.devices")

_PACKAGES = {"native": "bertkit", "onnx": "onnxruntime", "openvino": "openvino", "torch": "torch"}
"""Whose version decides a backend's speed."""
_TRIAL_SECONDS = 1.5
"""Once so much is spent no further backend is tried: the first load waits for the trial."""
_MEASURED_SECONDS, _REPEATS = 0.2, 5
_TEXT_TOKENS, _BATCH_TEXTS, _BATCH_TOKENS = 16, 8, 32


def open_backend(
    folder: ModelFolder,
    name: BackendName = "auto",
    precision: InferencePrecision | None = None,
    *,
    threads: int | None = None,
    device: str | None = None,
    cache: Path | None = None,
) -> Backend:
    """Make a folder ready to run; raises `InputError` where it cannot run as asked.

    `precision` None is the folder's: int8 where its weights are, else float32. "auto" is int8 for such a folder on a
    CPU, bf16 where the device multiplies it in hardware, else float32. `threads` None are those that suit the machine,
    `device` None is the first CUDA device where torch has one, else the CPU. `cache` None is the user's cache folder.
    """
    if name not in get_args(BackendName):
        raise InputError(f"backend {name!r} is unknown: use one of {', '.join(get_args(BackendName))}")
    if threads is not None and threads < 1:
        raise InputError(f"threads must be at least 1, got {threads}")
    if precision is None:
        precision = "float32" if folder.int8 is None else "int8"
    if device is None:
        device = "cpu" if precision == "int8" else _default_device(name)
    elif device != "cpu" and precision != "int8" and name in ("auto", "torch"):  # else the device itself is refused
        devices.check_device(device)
    obstacles = []
    for one in _precisions(folder, precision, device):
        options = BackendOptions(precision=one, threads=threads or default_threads(), device=device)
        able = []
        for candidate in _candidates(device) if name == "auto" else [name]:
            obstacle = backend_family(candidate).obstacle(folder, options)
            if obstacle is None:
                able.append(candidate)
            else:
                obstacles.append(obstacle)
        if not able and name == "auto":
            obstacle = backend_family("torch").obstacle(folder, options)
            able = ["torch"] if obstacle is None else []
        if able:
            return _Choice(folder, options, tuple(able), cache or cache_folder()).open()
    raise InputError(obstacles[-1])


def _default_device(name: BackendName) -> str:
    may_be_cuda = name == "torch" or (name == "auto" and has_cuda_device())
    return str(devices.default_device()) if may_be_cuda else "cpu"


def _precisions(
    folder: ModelFolder, precision: InferencePrecision, device: str
) -> Sequence[Literal["float32", "bf16", "int8"]]:
    """Those that will do, the best first."""
    if precision not in get_args(InferencePrecision):
        raise InputError(f"precision {precision!r} is unknown: use one of {', '.join(get_args(InferencePrecision))}")
    if precision != "auto":
        return (precision,)
    if device != "cpu":
        return (devices.resolve_precision("auto", torch.device(device)),)
    if folder.int8 is not None:
        return ("int8", "float32")
    return ("bf16", "float32") if cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"} else ("float32",)


def _candidates(device: str) -> Sequence[str]:
    """What "auto" tries. torch is one where it is imported already: its import alone takes longer than a trial."""
    if device != "cpu":
        return ("torch",)
    return [name for name in BACKENDS if name != "torch" or "torch" in sys.modules]


@dataclass(frozen=True)
class _Choice:
    """Between backends that can all run a folder."""

    folder: ModelFolder
    options: BackendOptions
    names: tuple[str, ...]
    cache: Path

    def open(self) -> Backend:
        """The only one, the one that was chosen before on this machine, or the fastest now."""
        name = self.names[0] if len(self.names) == 1 else self._remembered()
        return self._try_all() if name is None else backend_family(name).open(self.folder, self.options)

    @property
    def _path(self) -> Path:
        """Of what is remembered: of a CPU, a number of threads, an architecture with its sizes, and versions."""
        versions = [(name, version(_PACKAGES[name])) for name in self.names]
        described = [cpu_name(), asdict(self.options), asdict(self.folder.config), versions]
        key = hashlib.blake2b(json.dumps(described).encode(), digest_size=12).hexdigest()
        return self.cache / "backends" / f"{key}.json"

    def _remembered(self) -> str | None:
        if not self._path.is_file():
            return None
        with suppress(BertkitError, KeyError, TypeError):  # a file that is broken is made again
            name = read_json(self._path)["backend"]
            return name if name in self.names else None
        return None

    def _try_all(self) -> Backend:
        had_graphs = has_graphs(self.folder, self.cache)
        started = time.perf_counter()
        found: dict[str, tuple[Backend, float, float]] = {}
        error: BertkitError | None = None
        for name in self.names:
            if found and time.perf_counter() - started > _TRIAL_SECONDS:
                break
            try:
                backend = backend_family(name).open(self.folder, self.options)
                found[name] = (backend, *_seconds(backend, self.folder.config.max_length))
            except BertkitError as one:
                error = one
        if not found:
            assert error is not None
            raise error
        best = min(found, key=lambda name: found[name][1] * found[name][2])
        if best not in _WITH_GRAPHS and not had_graphs:
            forget_graphs(self.folder, self.cache)
        with suppress(BertkitError, OSError):  # without a cache the next load tries them again
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._path, {"backend": best, "seconds": {name: each[1:] for name, each in found.items()}})
        figures = ", ".join(f"{name} {1e3 * each[1]:.1f} and {1e3 * each[2]:.1f} ms" for name, each in found.items())
        note(
            f"{self.folder.path}: backend {best} ({self.options.precision}, threads {self.options.threads}), the "
            f"fastest for a short text and for {_BATCH_TEXTS} texts: {figures}"
        )
        return found[best][0]


_WITH_GRAPHS = ("onnx", "openvino")


def _seconds(backend: Backend, longest: int) -> tuple[float, float]:
    """Of one short text, and of a small batch."""
    want = SequenceStates((max(backend.layers),))
    found = []
    for count, length in ((1, _TEXT_TOKENS), (_BATCH_TEXTS, _BATCH_TOKENS)):
        lengths = np.full(count, min(length, longest), np.int64)
        ids = np.zeros(int(lengths.sum()), np.int64)
        batch = PackedArrays(ids, ids, lengths)
        backend.run(batch, want)  # the first run of a shape makes what the others use
        started, times = time.perf_counter(), list[float]()
        while len(times) < _REPEATS and (not times or time.perf_counter() - started < _MEASURED_SECONDS):
            before = time.perf_counter()
            backend.run(batch, want)
            times.append(time.perf_counter() - before)
        found.append(statistics.median(times))
    return found[0], found[1]
