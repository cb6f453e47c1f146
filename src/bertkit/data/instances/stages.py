"""Phases of a run: batches and sequences that grow. Without torch, for the options of the command line."""

from __future__ import annotations

from dataclasses import dataclass

from bertkit.core.errors import InputError
from bertkit.data.instances.options import StageOptions


@dataclass(frozen=True, kw_only=True)
class BatchPhase:
    """A part of a run, until the next phase starts."""

    start: float
    """Share of the run after which it starts."""
    batch_size: int
    """Sequences an update."""
    seq_length: int
    """Longest sequence."""


def plan_stages(options: StageOptions, *, batch_size: int, seq_length: int, by_time: bool) -> list[BatchPhase]:
    """The phases in order; in a run `by_time` shares are those of its time, where all tokens take equally long."""
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    first = batch_size if options.ramp_from is None else options.ramp_from
    sizes = [first] if first < batch_size else []
    while sizes and 2 * sizes[-1] < batch_size:
        sizes.append(2 * sizes[-1])
    starts = [options.ramp_share * index / len(sizes) for index in range(len(sizes))]
    parts = [*zip(starts, sizes, strict=True), (options.ramp_share if sizes else 0.0, batch_size)]
    stages = [BatchPhase(start=start, batch_size=size, seq_length=seq_length) for start, size in parts]
    if options.long_seq_length is not None:
        if options.long_seq_length <= seq_length:
            raise InputError(f"long_seq_length {options.long_seq_length} must be over seq_length {seq_length}")
        share, of_time = options.long_share, ""
        if by_time:
            long_work = share * options.long_seq_length
            share = long_work / (long_work + (1 - share) * seq_length)
            of_time = f", which is {share:.2f} of the time,"
        before = stages[-1].start
        if before + share > 1:
            raise InputError(
                f"ramp_share {before} and long_share {options.long_share}{of_time} are more than the run: lower one"
            )
        stages.append(
            BatchPhase(start=max(before, 1 - share), batch_size=batch_size, seq_length=options.long_seq_length)
        )
    return stages
