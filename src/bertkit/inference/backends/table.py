"""The table of backends: a backend is a file, and a line here. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from bertkit.core.lazy import import_working
from bertkit.inference.backends.base import MASKED_LM, TASK, Backend
from bertkit.pretrained.folder import ModelFolder
from bertkit.tasks.task_folder import has_task

BACKENDS = {
    "native": "bertkit.inference.backends.native:Native",
    "onnx": "bertkit.inference.backends.onnx_runtime:OnnxBackend",
    "openvino": "bertkit.inference.backends.openvino_runtime:OpenVinoBackend",
    "torch": "bertkit.inference.backends.torch_packed:TorchPacked",
}
"""A backend's name and its class, in the order in which `auto` tries them."""


@dataclass(frozen=True, kw_only=True)
class BackendOptions:
    """How a backend is to run a model, every choice made."""

    precision: Literal["float32", "bf16", "int8"]
    threads: int
    """Cores that it uses on a CPU."""
    device: str = "cpu"
    """As torch names it."""


class BackendFamily(Protocol):
    """What the class of a backend has to offer beside `Backend`."""

    @classmethod
    def obstacle(cls, folder: ModelFolder, options: BackendOptions) -> str | None:
        """Why it cannot run the folder with these options, and the remedy, in a line; None where it can.

        Answers at once: it neither imports a runtime nor reads weights.
        """

    @classmethod
    def open(cls, folder: ModelFolder, options: BackendOptions) -> Backend:
        """Make it ready to run; raises `InputError` and `ResourceError`."""


def backend_family(name: str) -> type[BackendFamily]:
    """The class of a backend, imported now; `KeyError` for a name that is not in the table."""
    module, _, kind = BACKENDS[name].partition(":")
    family: type[BackendFamily] = getattr(import_working(module), kind)
    return family


def heads_of(folder: ModelFolder) -> tuple[str, ...]:
    """The head of the folder's task, or masked LM where the folder has its weights."""
    if has_task(folder):
        return (TASK,)
    return (MASKED_LM,) if folder.holds("masked_lm.bias") else ()
