"""Batches of a run in stages."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Mapping, Sequence

from bertkit.data.instance_source import InstanceSource
from bertkit.data.loader import PretrainingLoader
from bertkit.data.made_ahead import made_ahead
from bertkit.data.pretraining_batch import PretrainingBatch
from bertkit.data.stages import Stage
from bertkit.foundation.errors import InputError


class StagedLoader:
    """Every step's batch, a pure function of the seed, the step and the steps with which the stages start.

    `sources` are the instances by sequence length. `starts` are the first steps of the stages after the first; more
    may be appended as a run goes on, for steps that have not been made yet. Stages of one length go through the same
    epochs.
    """

    def __init__(
        self,
        sources: Mapping[int, InstanceSource],
        stages: Sequence[Stage],
        starts: Sequence[int],
        *,
        micro_batch_tokens: int,
        seed: int,
        rank: int = 0,
        size: int = 1,
        pin_memory: bool = False,
    ) -> None:
        sizes = [stage.batch_size for stage in stages]
        for name, sequences in (("batch_size", max(sizes)), ("ramp_from", min(sizes))):
            if sequences < size:
                raise InputError(f"{name} {sequences} leaves some of {size} processes without a sequence: raise it")
        self._stages, self._starts, self._pin_memory = stages, starts, pin_memory
        self._loaders = {
            length: PretrainingLoader(
                source,
                batch_size=max(stage.batch_size for stage in stages if stage.seq_length == length),
                micro_batch_tokens=micro_batch_tokens,
                seed=seed,
                rank=rank,
                size=size,
            )
            for length, source in sources.items()
        }

    def batch(self, step: int) -> list[PretrainingBatch]:
        """Micro-batches of one step (counted from 0)."""
        index = bisect_right(self._starts, step)
        bounds = [0, *self._starts[:index], step]
        stage = self._stages[index]
        before = sum(
            (bounds[place + 1] - bounds[place]) * earlier.batch_size
            for place, earlier in enumerate(self._stages[: index + 1])
            if earlier.seq_length == stage.seq_length
        )
        batches = self._loaders[stage.seq_length].take(before, stage.batch_size)
        return [batch.pin_memory() for batch in batches] if self._pin_memory else batches

    def batches(self, start_step: int, stop_step: int | None = None) -> Generator[list[PretrainingBatch], None, None]:
        """Batches of the steps from `start_step` on, made in a background thread a few steps ahead."""
        return made_ahead(self.batch, start_step, stop_step)

    def epochs(self, steps: int) -> float:
        """How often `steps` go through the text."""
        bounds = [0, *(min(start, steps) for start in self._starts), steps]
        return sum(
            (bounds[place + 1] - bounds[place]) * stage.batch_size / self._loaders[stage.seq_length].source_sequences
            for place, stage in enumerate(self._stages[: len(bounds) - 1])
        )
