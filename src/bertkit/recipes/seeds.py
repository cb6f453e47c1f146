"""- seeds side by side in processes."""
# H hidden, I intermediate.

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from bertkit.core.console import note
from bertkit.core.errors import BertkitError, ResourceError
from bertkit.core.machine import available_memory, tune_allocator
from bertkit.model.size import training_flops
from bertkit.recipes.finetune_seed import run_seed
from bertkit.recipes.finetune_setup import FinetuneSetup
from bertkit.tasks.model import new_task_model


@dataclass(frozen=True)
class SeedTask:
    """What follows on the standard input is the setup."""

    seed: int
    run: Path
    threads: int


def main() -> int:
    """Train the seed that the standard input describes; return the exit code.

    That is the error's where one ends it, whose message is the standard output.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this process
    task, setup = pickle.load(sys.stdin.buffer), pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(task.threads)
    tune_allocator()
    try:
        run_seed(setup, task.seed, task.run)
    except BertkitError as error:
        print(error)
        return error.exit_code
    return 0


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):  # not by a buffer, whose lock the interpreter's end would wait for
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())


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
                [sys.executable, "-m", "bertkit.recipes.seeds"],
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
    if code < 0:
        return ResourceError(
            f"the process of seed {seed} was killed, perhaps because memory was full: use --parallel-seeds 1"
        )
    return BertkitError.of(code, message) or RuntimeError(f"seed {seed} failed; its process printed why, see above")


_PROCESS_BYTES = 700 << 20
"""Of a process that has loaded torch."""
_COPIES_OF_WEIGHTS = 7
"""Weights, gradients, two moments, and the copies that are written as a checkpoint."""
_TOKEN_BYTES = 32
"""Of an encoded token with its offsets."""
_WORTH_A_PROCESS = 1e12
"""Operations of a seed that take longer than starting a process."""


def seeds_at_once(setup: FinetuneSetup) -> int:
    """As asked for; else as many as there are threads, and as half of the free memory holds.

    One where seeds are over sooner than a process has started, and on a GPU, which one seed keeps busy. The threads of
    a seed decide its last bits: those may differ between starts where the memory is the limit.
    """
    options = setup.options
    if options.parallel_seeds != "auto":
        return min(options.parallel_seeds, options.seeds)
    if setup.device.type != "cpu" or _operations(setup) < _WORTH_A_PROCESS:
        return 1
    return max(1, min(options.seeds, torch.get_num_threads(), available_memory() // 2 // _bytes(setup)))


def _operations(setup: FinetuneSetup) -> float:
    lengths = torch.from_numpy(setup.train.lengths)
    starts = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    return setup.epochs * training_flops(setup.model_config, starts)


def _bytes(setup: FinetuneSetup) -> int:
    """What a seed's process needs, about."""
    config = setup.model_config
    with torch.device("meta"):
        model = new_task_model(setup.task, config)
    weights = sum(parameter.numel() for parameter in model.parameters())
    # Kept for the backward pass of a token: inputs and outputs of each layer's products, norms and dropouts.
    kept = config.num_hidden_layers * (14 * config.hidden_size + 3 * config.intermediate_size)
    data = sum(int(part.lengths.sum()) for part in setup.parts().values()) * _TOKEN_BYTES
    floats = _COPIES_OF_WEIGHTS * weights + setup.micro_batch_tokens * kept
    return _PROCESS_BYTES + data + 4 * floats
