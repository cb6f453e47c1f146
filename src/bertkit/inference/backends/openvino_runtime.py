"""The backend that runs a graph in OpenVINO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from bertkit.core.lazy import is_installed, lazy_module
from bertkit.core.machine import cpu_flags
from bertkit.inference.backends.graph_cache import FLOAT32, OPENVINO_INT8, graph_file
from bertkit.inference.backends.graphs import Arrays, GraphBackend, RunGraph
from bertkit.inference.backends.table import BackendOptions
from bertkit.pretrained.folder import ModelFolder

if TYPE_CHECKING:
    import numpy as np
    import openvino
    from numpy.typing import NDArray
else:
    openvino = lazy_module("openvino")

_PRECISIONS = {"float32": "f32", "bf16": "bf16", "int8": "f32"}
"""Of what is not integers already."""


class OpenVinoBackend(GraphBackend):
    """On a CPU, for the least time until one batch is done; many batches run side by side, one a core."""

    name = "openvino"

    @classmethod
    def obstacle(cls, folder: ModelFolder, options: BackendOptions) -> str | None:
        """A package that is not installed, another device, or bf16 on a CPU that does not multiply it."""
        if not is_installed("openvino", "onnx"):
            return 'the backend openvino is not installed: pip install "bertkit[openvino]"'
        if options.device != "cpu":
            return f"the backend openvino runs on the CPU, not on {options.device}: leave out the device or take torch"
        if options.precision == "bf16" and not cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"}:
            return "this CPU does not multiply bf16, which the backend openvino needs for it: take float32 or int8"
        return None

    @classmethod
    def open(cls, folder: ModelFolder, options: BackendOptions) -> Self:
        """Graphs are compiled for what is asked for."""
        return cls(folder, options)

    def _load(self, outputs: tuple[str, ...], threads: int) -> RunGraph:
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _PRECISIONS[self.options.precision],
            # In streams each request has a core, and there are as many as cores.
            "INFERENCE_NUM_THREADS": self.options.threads,
            "NUM_STREAMS": self.options.threads // threads,
        }
        kind = OPENVINO_INT8 if self.options.precision == "int8" else FLOAT32
        with graph_file(self._folder, outputs, kind) as path:
            compiled = openvino.Core().compile_model(path, "CPU", settings)
        requests: list[Any] = []  # those that no thread uses now

        def run(arrays: Arrays) -> list[NDArray[np.float32]]:
            try:
                request = requests.pop()
            except IndexError:
                request = compiled.create_infer_request()
            request.infer(dict(arrays), share_inputs=True)
            # A request's own memory is written to again by its next run.
            found = [request.get_output_tensor(place).data.copy() for place in range(len(outputs))]
            requests.append(request)
            return found

        return run
