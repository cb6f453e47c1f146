"""The folder of a run that is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertkit.foundation.errors import InputError
from bertkit.training.run_clock import RunClock

_WRITTEN = ("config.yaml", "yardsticks.json", "plan.json", "metrics.jsonl", "tensorboard", "checkpoints", "profile")


@contextmanager
def removed_where_refused(run: Path, clock: RunClock, *, with_folder: bool) -> Iterator[None]:
    """Where an `InputError` ends a new run before its first step, remove what it wrote: the next one starts anew."""
    try:
        yield
    except InputError:
        if not clock.has_begun:
            _remove(run, with_folder)
        raise


def _remove(run: Path, with_folder: bool) -> None:
    for name in _WRITTEN:
        path = run / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if with_folder and all(entry.name == ".lock" for entry in run.iterdir()):
        shutil.rmtree(run)
