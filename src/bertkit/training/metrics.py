"""Where a run's figures go: `metrics.jsonl` and TensorBoard."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from bertkit.foundation.files import atomic_path, full_disk_named
from bertkit.foundation.process_group import ProcessGroup


class MetricsLog:
    """Appends one JSON object a line, `{"step": …, "kind": "train" | "evaluation", …}`.

    Opening it at `step` drops later lines, which a killed run wrote after its last checkpoint. Of several processes the
    first one writes.
    """

    def __init__(self, run: Path, step: int, group: ProcessGroup) -> None:
        self._path, self._writes = run / "metrics.jsonl", group.leads
        if not self._writes:
            return
        kept = [line for line in read_metrics(run) if line["step"] <= step]
        with atomic_path(self._path) as path:
            path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        self._file = self._path.open("a", encoding="utf-8")
        self._tensorboard = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, kind: str, figures: Mapping[str, float]) -> None:
        """Append the figures of one step; one that is not finite is null."""
        if not self._writes:
            return
        finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        with full_disk_named(self._path):
            self._file.write(json.dumps({"step": step, "kind": kind, **finite}) + "\n")
            self._file.flush()
            for name, value in finite.items():
                if value is not None:
                    self._tensorboard.add_scalar(f"{kind}/{name}", value, step)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._writes:
            return
        self._file.close()
        self._tensorboard.close()


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's `metrics.jsonl`; a last line that was cut is left out."""
    path = run / "metrics.jsonl"
    if not path.exists():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines
