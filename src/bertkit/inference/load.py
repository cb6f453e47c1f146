"""From a model folder to a `Predictor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bertkit.core.arguments import checked
from bertkit.core.checksums import Verify
from bertkit.core.machine import BackendName, InferencePrecision, tune_allocator
from bertkit.inference.backends.choose import open_backend
from bertkit.inference.engine import Engine
from bertkit.inference.loaded_model import LoadedModel, check_vocabulary_size
from bertkit.inference.predictor import Predictor
from bertkit.pretrained.folder import ModelFolder
from bertkit.tasks.task_folder import has_task, load_task
from bertkit.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch


@checked
def load(
    path: str | Path,
    *,
    backend: BackendName = "auto",
    precision: InferencePrecision | None = None,
    threads: int | None = None,
    device: str | torch.device | None = None,
    keep_freed_memory: bool = True,
    verify: Verify = "auto",
) -> Predictor:
    """Load a folder, or a hub name where there is a network, in Hugging Face's format.

    `backend` "native", "onnx", "openvino" and "torch" run it on bertkit's own CPU engine, ONNX Runtime, OpenVINO or
    torch; "auto" takes torch on a CUDA device and else the fastest of those that are installed, by a short trial that
    is remembered for the machine. `precision` "float32", "bf16" and "int8" say how the encoder's matrices are held and
    multiplied; None is float32, or int8 for a folder that `quantize` wrote, and "auto" further takes bf16 where the
    device multiplies it in hardware. `threads` limits the cores of a CPU: by default a thread for each core that the
    process may use. `device` None is the first CUDA device, else the CPU. On the CPU, with `keep_freed_memory`, the C
    library keeps what this process frees for what it takes next, instead of handing it back to the system after every
    batch, which costs a third of the time. Weights and tokenizer are compared with the folder's `SHA256SUMS`, if it
    has one: with `verify` "auto" where they changed since they were last compared, with "always" every time. Raises
    `InputError`.
    """
    folder = ModelFolder.open(path, verify)
    tokenizer = Tokenizer.from_pretrained(folder.path)
    check_vocabulary_size(folder.path, tokenizer.vocab_size, folder.config.vocab_size)
    task = load_task(folder) if has_task(folder) else None
    place = None if device is None else str(device)
    opened = open_backend(folder, backend, precision, threads=threads, device=place)
    if keep_freed_memory and opened.device == "cpu":
        tune_allocator()
    return Predictor(LoadedModel(folder=folder, tokenizer=tokenizer, engine=Engine(opened), task=task))
