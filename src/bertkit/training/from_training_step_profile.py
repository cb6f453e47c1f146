"""Where the time of a step goes."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from bertkit.foundation.console import note
from bertkit.foundation.counted import counted

_SKIPPED, _WARM_UP, _RECORDED = 2, 2, 4
_ROWS = 40


class StepProfile:
    """Records a few early steps with torch's profiler: `profile/table.txt` and `profile/trace.json` in a run's folder.

    The trace opens in Perfetto (ui.perfetto.dev) and in chrome://tracing.
    """

    def __init__(self, run: Path) -> None:
        self._folder = run / "profile"
        self._steps = 0
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or torch's profiler prints lines of its own
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
                f"and {counted(self._steps, 'step')} went by"
            )
