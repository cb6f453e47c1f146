"""Seeds of a fine-tuning side by side, each in a process of its own."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

from bertkit.foundation.console import note
from bertkit.foundation.errors import InputError, ResourceError
from bertkit.recipes.finetune_setup import FinetuneSetup
from bertkit.recipes.seed_worker import REFUSED, SeedTask


def run_side_by_side(setup: FinetuneSetup, runs: Mapping[int, Path], *, at_once: int, threads: int) -> None:
    """Train the seeds of `runs` in their folders, `at_once` at a time, each with so many threads.

    What they say appears line by line, with the seed in front. An error in one ends the others; all go on from their
    checkpoints when they are run again.
    """
    shared = pickle.dumps(setup)
    processes = _Processes()
    with ThreadPoolExecutor(at_once) as pool:
        waiting = [pool.submit(processes.run, SeedTask(seed, run, threads), shared) for seed, run in runs.items()]
        try:
            for done in as_completed(waiting):
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            processes.end()
            raise


class _Processes:
    """Those that run now."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []
        self._lock, self._ended = threading.Lock(), False

    def end(self) -> None:
        """Stop them all, and those that would follow."""
        with self._lock:
            self._ended = True
            for process in self._running:
                process.terminate()

    def run(self, task: SeedTask, setup: bytes) -> None:
        """Train one seed; raise what its process says."""
        with self._lock:
            if self._ended:
                return
            process = subprocess.Popen(
                [sys.executable, "-m", "bertkit.recipes.seed_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},  # the processes are the parallelism
            )
            self._running.append(process)
        with process:  # its input stays open: where it ends, the process does
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            with suppress(BrokenPipeError):
                process.stdin.write(pickle.dumps(task) + setup)
                process.stdin.flush()
            name = f"seed {task.seed}: "
            for line in process.stderr:
                text = line.decode(errors="replace").rstrip()
                note(text if text.startswith(name) else name + text)
            message = process.stdout.read().decode(errors="replace").strip()
            code = process.wait()
        with self._lock:
            self._running.remove(process)
            ended = self._ended
        if code and not ended:
            raise _error(task.seed, code, message)


def _error(seed: int, code: int, message: str) -> Exception:
    if code == REFUSED:
        return InputError(message)
    if code < 0:
        return ResourceError(
            f"the process of seed {seed} was killed, perhaps for want of memory: use --parallel-seeds 1"
        )
    return RuntimeError(f"seed {seed} failed; what its process said stands above")
