"""The process that trains one of several seeds side by side: `python -m bertkit.recipes.seed_worker`."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import torch

from bertkit.foundation.allocator import tune_allocator
from bertkit.foundation.errors import InputError
from bertkit.recipes.finetune_seed import run_seed

REFUSED = 2
"""Exit code of an `InputError`, whose message is the standard output."""


@dataclass(frozen=True)
class SeedTask:
    """What follows on the standard input is the setup."""

    seed: int
    run: Path
    threads: int


def main() -> int:
    """Train the seed that the standard input describes; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this process
    task, setup = pickle.load(sys.stdin.buffer), pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(task.threads)
    tune_allocator()
    try:
        run_seed(setup, task.seed, task.run)
    except InputError as error:
        print(error)
        return REFUSED
    return 0


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):  # not by a buffer, whose lock the interpreter's end would wait for
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
