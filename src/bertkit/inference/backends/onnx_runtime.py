"""The backend that runs a graph in ONNX Runtime."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache
from typing import TYPE_CHECKING, Self

from bertkit.core.lazy import is_installed, lazy_module
from bertkit.core.machine import cpu_flags
from bertkit.inference.backends.graph_cache import FLOAT32, INT8, INT8_NARROW, graph_file
from bertkit.inference.backends.graphs import Arrays, GraphBackend, RunGraph
from bertkit.inference.backends.table import BackendOptions
from bertkit.pretrained.folder import ModelFolder

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    from numpy.typing import NDArray
else:
    onnxruntime = lazy_module("onnxruntime")


class OnnxBackend(GraphBackend):
    """On a CPU; a session keeps no memory between two runs, so that texts of all lengths do not add up."""

    name = "onnx"

    @classmethod
    def obstacle(cls, folder: ModelFolder, options: BackendOptions) -> str | None:
        """A package that is not installed, another device, or bf16."""
        if not is_installed("onnxruntime", "onnx"):
            return 'the backend onnx is not installed: pip install "bertkit[onnx]"'
        if options.device != "cpu":
            return f"the backend onnx runs on the CPU, not on {options.device}: leave out the device or take torch"
        if options.precision == "bf16":
            return "the backend onnx has float32 and int8, no bf16: take another precision, or the backend torch"
        return None

    @classmethod
    def open(cls, folder: ModelFolder, options: BackendOptions) -> Self:
        """Sessions are made for what is asked for."""
        return cls(folder, options)

    def _load(self, outputs: tuple[str, ...], threads: int) -> RunGraph:
        _survive_forks()
        _send_nothing()
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3  # errors: its warnings are coloured lines about shapes that it infers
        settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
        # Both keep what the largest shapes needed, for every shape that ever came.
        settings.enable_mem_pattern = settings.enable_cpu_mem_arena = False
        # Beside a busy process a thread that spins takes the core that the other thread waits for.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        int8 = INT8 if _has_exact_int8() else INT8_NARROW
        with graph_file(self._folder, outputs, int8 if self.options.precision == "int8" else FLOAT32) as path:
            session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        names = list(outputs)

        def run(arrays: Arrays) -> list[NDArray[np.float32]]:
            found: list[NDArray[np.float32]] = session.run(names, arrays)
            return found

        return run


def _send_nothing() -> None:
    """Keep the runtime from telling its makers of its use, and from keeping a number of this machine for that.

    It reads the variable when it is imported: in a program that has done that before, and where the variable is set, it
    is left as it is.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


@cache
def _survive_forks() -> None:
    os.register_at_fork(after_in_child=_skip_exit_handlers)


def _skip_exit_handlers() -> None:
    """End a forked child without those of C: the runtime's would wait for threads that its parent alone has.

    Python's own have run by then.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "on_exit"):  # of glibc
        library.on_exit(library._exit, None)


def _has_exact_int8() -> bool:
    """Whether products of uint8 and int8 do not saturate: on x86 they do in silence where there is no VNNI."""
    return platform.machine() not in ("x86_64", "AMD64") or bool(cpu_flags() & {"avx512_vnni", "avx_vnni"})
