"""The weights in a model folder, whichever file holds them."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

from msgspec import Meta
from safetensors import SafetensorError

from bertkit.core.errors import BertkitError, InputError
from bertkit.core.files import unreadable
from bertkit.core.lazy import lazy_module
from bertkit.core.records import read_foreign
from bertkit.pretrained.int8 import INT8_FILE, Int8Tensors
from bertkit.pretrained.tensorflow.bundle import INDEX_SUFFIX, Bundle

if TYPE_CHECKING:
    import torch
    from safetensors import torch as safetensors_torch
    from torch import Tensor
else:
    torch = lazy_module("torch")
    safetensors_torch = lazy_module("safetensors.torch")

SAFETENSORS_FILE = "model.safetensors"
_WEIGHT_FILES = (
    SAFETENSORS_FILE,
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "bert_model.ckpt.index",
    INT8_FILE,
)
"""In order of preference; an index names the parts and the part of every tensor."""


def find_weights(folder: Path) -> Path:
    """The file of weights, or the index of its parts; raise `InputError` where there is none."""
    for name in _WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    checkpoints = sorted(folder.glob(f"*.ckpt*{INDEX_SUFFIX}"))
    if len(checkpoints) > 1:
        raise InputError(
            f"{folder} has {len(checkpoints)} checkpoints ({checkpoints[0].name} and others): leave one in it"
        )
    if checkpoints:
        return checkpoints[0]
    raise InputError(
        f"{folder} has no weights ({SAFETENSORS_FILE}, pytorch_model.bin, either in parts with an index, "
        f"bert_model.ckpt or {INT8_FILE}): give the folder that a model was saved to"
    )


def is_tensorflow(path: Path) -> bool:
    """Whether what `find_weights` found is a TensorFlow checkpoint."""
    return path.suffix == INDEX_SUFFIX


def weight_parts(path: Path) -> tuple[Path, ...]:
    """The files that hold the tensors of what `find_weights` found; raise `InputError` for one that is missing."""
    if is_tensorflow(path):
        return (path, *Bundle(path).files)
    if path.suffix != ".json":
        _check_readable(path)
        return (path,)
    parts = tuple(path.parent / name for name in sorted(set(_places(path).values())))
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise InputError(f"{path} names {', '.join(missing)}, not in the folder: copy all {len(parts)} parts")
    for part in parts:
        _check_readable(part)
    return parts


def _check_readable(path: Path) -> None:
    """Raise the error of a file that cannot be opened, of which safetensors says that it is not there."""
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise unreadable(path, error) from None


def read_tensors(path: Path) -> Mapping[str, Tensor]:
    """Every tensor under its stored name, mapped from the disk where the format allows it; int8 weights in float32.

    Raises `InputError`.
    """
    if is_tensorflow(path):
        return Bundle(path)
    if path.name == INT8_FILE:
        return {name: torch.from_numpy(tensor) for name, tensor in Int8Tensors.read(path).dequantized().items()}
    tensors: dict[str, Tensor] = {}
    for part in weight_parts(path):
        tensors |= _read_safetensors(part) if part.suffix == ".safetensors" else _read_pickle(part)
    if path.suffix == ".json":
        lacking = sorted(set(_places(path)) - set(tensors))
        if lacking:
            raise InputError(f"{path} names {lacking[0]}, which is in none of its parts: copy the folder again")
    return tensors


class _Index(TypedDict):
    """Where the tensors of weights in parts are."""

    weight_map: Annotated[dict[str, str], Meta(min_length=1)]


def _places(index: Path) -> dict[str, str]:
    """From tensor to the name of its part."""
    places = read_foreign(index, _Index, "copy it again")["weight_map"]
    for name in places.values():
        if Path(name).name != name:
            raise InputError(f"{index} names the part {name!r}: parts are files of the folder itself")
    return places


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    with _whole(path, "safetensors file", SafetensorError):
        return dict(safetensors_torch.load_file(path))


def _read_pickle(path: Path) -> dict[str, Tensor]:
    # torch names what the pickle wanted to call before it is called.
    with _whole(path, "PyTorch file", RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
        except pickle.UnpicklingError as error:
            wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
            what = f"wants to run code ({wanted[1]})" if wanted else "holds more than tensors"
            raise InputError(f"{path} {what}, so it was not opened: ask for {SAFETENSORS_FILE}") from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in content.values()):
        raise InputError(f"{path} is not a dictionary of tensors: save model.state_dict()")
    return content


def _is_zip(path: Path) -> bool:
    """Files of torch before 1.6 are plain pickles, which cannot be mapped."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


@contextmanager
def _whole(path: Path, what: str, *errors: type[Exception]) -> Iterator[None]:
    """Name the file in errors of a broken one."""
    try:
        yield
    except BertkitError:
        raise
    except errors as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path} is not a whole {what} ({reason}): copy it again") from None
