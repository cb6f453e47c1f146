"""Seeds of one fine-tuning run side by side, each in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import torch

from bertkit.core.console import note
from bertkit.core.errors import ResourceError
from bertkit.core.machine import available_memory
from bertkit.core.workers import CallProcesses
from bertkit.model.initialization import empty_weights
from bertkit.model.size import training_flops
from bertkit.recipes.finetune_seed import run_seed
from bertkit.recipes.finetune_setup import FinetuneSetup
from bertkit.tasks.model import new_task_model
from bertkit.training.run_folder import RunFolder


def run_side_by_side(setup: FinetuneSetup, runs: Mapping[int, RunFolder], *, at_once: int, threads: int) -> None:
    """Train the seeds of `runs` in their folders, `at_once` at a time, each with so many threads.

    What they say appears line by line, with the seed in front. An error in one ends the others; all resume from their
    checkpoints when they are run again.
    """
    processes = CallProcesses()

    def train(seed: int, run: RunFolder) -> None:
        name = f"seed {seed}: "
        task = _SeedTask(setup, seed, run, threads)
        code = processes.call(_train, task, lambda line: note(line if line.startswith(name) else name + line))
        if code < 0:
            raise ResourceError(
                f"the process of seed {seed} was killed, perhaps because memory was full: use --parallel-seeds 1"
            )
        if code:
            raise RuntimeError(f"seed {seed} failed; its process printed why, see above")

    with ThreadPoolExecutor(at_once) as pool:
        waiting = [pool.submit(train, seed, run) for seed, run in runs.items()]
        try:
            for done in as_completed(waiting):
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            processes.end()
            raise


@dataclass(frozen=True)
class _SeedTask:
    setup: FinetuneSetup
    seed: int
    run: RunFolder
    threads: int


def _train(task: _SeedTask) -> None:
    torch.set_num_threads(task.threads)
    run_seed(task.setup, task.seed, task.run)


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
    with empty_weights():
        model = new_task_model(setup.task, config)
    weights = sum(parameter.numel() for parameter in model.parameters())
    # Kept for the backward pass of a token: inputs and outputs of each layer's products, norms and dropouts.
    kept = config.num_hidden_layers * (14 * config.hidden_size + 3 * config.intermediate_size)
    data = sum(int(part.lengths.sum()) for part in setup.parts().values()) * _TOKEN_BYTES
    floats = _COPIES_OF_WEIGHTS * weights + setup.micro_batch_tokens * kept
    return _PROCESS_BYTES + data + 4 * floats
