"""Graphs of model folders for other runtimes, written once and kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bertkit import __version__
from bertkit.core.console import note
from bertkit.core.errors import ResourceError
from bertkit.core.lazy import lazy_module
from bertkit.core.machine import WeightRange, cache_folder
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.int8 import FULL_RANGE, NARROW_RANGE

if TYPE_CHECKING:
    from bertkit.inference.export import openvino as openvino_writer
    from bertkit.inference.export import write_graph as writer
else:
    openvino_writer = lazy_module("bertkit.inference.export.openvino")
    writer = lazy_module("bertkit.inference.export.write_graph")  # a graph that is there needs no onnx

GRAPH_VERSION = 1
"""Higher whenever the same folder gives another graph."""


def model_key(folder: ModelFolder) -> str:
    """Changes with the model's configuration and with its weights, which count by path, size and time of change."""
    files = [path.resolve() for path in folder.weight_files]
    weights = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    described = [__version__, GRAPH_VERSION, weights, asdict(folder.description), folder.task is None]
    return hashlib.blake2b(json.dumps(described, default=str).encode(), digest_size=12).hexdigest()


class GraphKind(NamedTuple):
    """A form of graph: its name in the cache, the suffix of its file, and what writes it to a path."""

    name: str
    suffix: str
    write: Callable[[ModelFolder, Path, Sequence[str]], object]


def _float32(folder: ModelFolder, path: Path, outputs: Sequence[str]) -> object:
    return writer.write_graph(folder, path, outputs=outputs)


def _int8(weight_range: WeightRange) -> Callable[[ModelFolder, Path, Sequence[str]], object]:
    return lambda folder, path, outputs: writer.write_graph(
        folder, path, precision="int8", outputs=outputs, weight_range=weight_range
    )


def _openvino_int8(folder: ModelFolder, path: Path, outputs: Sequence[str]) -> object:
    return openvino_writer.write_openvino(folder, path, precision="int8", outputs=outputs)


FLOAT32 = GraphKind("float32", ".onnx", _float32)
INT8 = GraphKind("int8", ".onnx", _int8(FULL_RANGE))
INT8_NARROW = GraphKind("int8-narrow", ".onnx", _int8(NARROW_RANGE))
OPENVINO_INT8 = GraphKind("openvino-int8", ".xml", _openvino_int8)


@contextmanager
def graph_file(
    folder: ModelFolder, outputs: Sequence[str], kind: GraphKind, cache: Path | None = None
) -> Iterator[Path]:
    """The file of a graph with these outputs, to be read inside the block; `cache` None is the user's cache folder.

    Graphs of other weights of the same folder are removed. Several processes may ask for one graph at once: it appears
    whole, and two writers write the same. Where the cache cannot be written the file is a temporary one.
    """
    place, key = _place(folder, cache), model_key(folder)
    name = hashlib.blake2b(json.dumps(list(outputs)).encode(), digest_size=6).hexdigest()
    path = place / f"{key}-{kind.name}-{name}{kind.suffix}"
    if path.is_file():
        yield path
        return
    with ExitStack() as stack:
        try:
            place.mkdir(parents=True, exist_ok=True)
            for old in place.iterdir():
                if old.is_file() and not old.name.startswith(key):
                    old.unlink(missing_ok=True)
            own = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=place)))
            kind.write(folder, own / path.name, outputs)
            for part in sorted(
                own.iterdir(), key=lambda part: part.name == path.name
            ):  # the file that is looked for last
                part.replace(place / part.name)
        except (OSError, ResourceError) as error:
            note(f"{place} cannot be written ({error}): the next process makes the graph again")
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bertkit-"))) / path.name
            kind.write(folder, path, outputs)
        yield path


def has_graphs(folder: ModelFolder, cache: Path | None = None) -> bool:
    """Whether the cache has graphs of the folder."""
    return _place(folder, cache).is_dir()


def forget_graphs(folder: ModelFolder, cache: Path | None = None) -> None:
    """Remove the folder's graphs from the cache."""
    with suppress(OSError):
        shutil.rmtree(_place(folder, cache))


def _place(folder: ModelFolder, cache: Path | None) -> Path:
    path = hashlib.blake2b(str(folder.path.resolve()).encode(), digest_size=12).hexdigest()
    return (cache or cache_folder()) / "graphs" / path
