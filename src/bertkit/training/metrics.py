"""What a run records of itself: metrics.jsonl, TensorBoard, a profile, and how fast its device could be."""
# N rows and columns.

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Mapping
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from types import TracebackType

import torch
from torch.profiler import ProfilerActivity, profile, schedule
from torch.utils.tensorboard import SummaryWriter

from bertkit.core.console import counted, note
from bertkit.core.devices import autocast
from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import BertkitError
from bertkit.core.files import atomic_path, full_disk_named
from bertkit.core.machine import Precision
from bertkit.training.run_folder import RunFolder


class MetricsLog:
    """Appends one JSON object a line, `{"step": …, "kind": "train" | "evaluation", …}`.

    Opening it at `step` drops later lines, which a killed run wrote after its last checkpoint. Of several processes the
    first one writes.
    """

    def __init__(self, run: RunFolder, step: int, group: ProcessGroup) -> None:
        self._folder, self._writes = run.path, group.is_main
        if not self._writes:
            return
        kept = [line for line in run.read_metrics() if line["step"] <= step]
        with full_disk_named(self._folder):
            with atomic_path(run.metrics) as path:
                path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
            self._file = run.metrics.open("a", encoding="utf-8")
            self._tensorboard = SummaryWriter(str(run.tensorboard), purge_step=step + 1)

    def write(self, step: int, kind: str, figures: Mapping[str, float]) -> None:
        """Append the figures of one step; one that is not finite is null."""
        if not self._writes:
            return
        finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        with full_disk_named(self._folder):
            self._file.write(json.dumps({"step": step, "kind": kind, **finite}) + "\n")
            self._file.flush()
            for name, value in finite.items():
                if value is not None:
                    self._tensorboard.add_scalar(f"{kind}/{name}", value, step)

    def __enter__(self) -> MetricsLog:
        self._hook, threading.excepthook = threading.excepthook, self._failed_thread
        return self

    def _failed_thread(self, failed: threading.ExceptHookArgs) -> None:
        """Print nothing where TensorBoard's thread could not write: the next call of its writer raises the error."""
        if not isinstance(failed.exc_value, OSError):
            self._hook(failed)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            later = nullcontext() if kind is None else suppress(BertkitError)  # than the error that came first
            if self._writes:
                with later, full_disk_named(self._folder), closing(self._tensorboard):
                    self._file.close()
        finally:
            threading.excepthook = self._hook


_SKIPPED, _WARM_UP, _RECORDED = 2, 2, 4
_ROWS = 40


class StepProfile:
    """Records a few early steps with torch's profiler: `table.txt` and `trace.json` in a folder.

    The trace opens in Perfetto (ui.perfetto.dev) and in chrome://tracing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._steps = 0
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # keeps torch's profiler from printing
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * torch.cuda.is_available()
        self._profile = profile(
            activities=activities,
            schedule=schedule(wait=_SKIPPED, warmup=_WARM_UP, active=_RECORDED, repeat=1),
            on_trace_ready=self._write,
        )

    def step(self) -> None:
        """Say that a step has ended."""
        self._steps += 1
        self._profile.step()

    @property
    def _recorded(self) -> int:
        """Steps that were recorded."""
        return min(max(0, self._steps - _SKIPPED - _WARM_UP), _RECORDED)

    def _write(self, recorded: profile) -> None:
        if self._recorded == 0:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        sort_by = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        table = recorded.key_averages().table(sort_by=sort_by, row_limit=_ROWS)
        (self._folder / "table.txt").write_text(table, encoding="utf-8")
        recorded.export_chrome_trace(str(self._folder / "trace.json"))
        note(f"profile of {counted(self._recorded, 'step')}: {self._folder}/table.txt and trace.json")

    def __enter__(self) -> StepProfile:
        self._profile.__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._profile.__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        if kind is None and self._recorded == 0:
            note(
                f"no profile: the first {_SKIPPED + _WARM_UP} steps after a start are not recorded, "
                f"and the run had {counted(self._steps, 'step')}"
            )


_SIZES = {"cuda": 8192, "cpu": 1024}
_SECONDS = 0.1


def measure_matrix_peak(device: torch.device, precision: Precision) -> float:
    """Operations/s of square products of (N, N), the fastest of those that a tenth of a second holds.

    In the precision in which a model trains; a multiplication with an addition counts as two.
    """
    size = _SIZES.get(device.type, _SIZES["cpu"])
    with torch.no_grad(), autocast(precision, device):
        # A GPU is faster at numbers that are all alike. A run's own generator stays as it is.
        generator = torch.Generator(device).manual_seed(0)
        left, right = torch.randn(2, size, size, device=device, generator=generator).unbind()
        dtype = torch.mm(left[:1], right).dtype
        left, right = left.to(dtype), right.to(dtype)
        best, end = float("inf"), None
        while end is None or time.perf_counter() < end:
            start = time.perf_counter()
            torch.mm(left, right)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if end is None:  # the first product loads the library's kernels
                end = time.perf_counter() + _SECONDS
            else:
                best = min(best, time.perf_counter() - start)
    if best == float("inf"):
        start = time.perf_counter()
        torch.mm(left, right)
        best = time.perf_counter() - start
    return 2 * size**3 / best
