"""A micro-batch cut in two, for memory that is too small for it."""

from __future__ import annotations

from dataclasses import replace

import torch

from bertkit.data.pretraining_batch import PretrainingBatch
from bertkit.foundation.packed_batch import PackedBatch


def halves(batch: PretrainingBatch) -> list[PretrainingBatch]:
    """The first and the last half of the sequences; one sequence stays as it is."""
    count = batch.inputs.num_sequences
    if count < 2:
        return [batch]
    return [_sequences(batch, 0, count // 2), _sequences(batch, count // 2, count)]


def _sequences(batch: PretrainingBatch, start: int, stop: int) -> PretrainingBatch:
    inputs, labels = batch.inputs, batch.next_sentence_labels
    bounds = inputs.cu_seqlens[start : stop + 1]
    first, last = int(bounds[0]), int(bounds[-1])
    begin, end = torch.searchsorted(batch.masked_positions, torch.tensor([first, last])).tolist()
    return replace(
        batch,
        inputs=PackedBatch(
            inputs.input_ids[first:last],
            inputs.token_type_ids[first:last],
            inputs.position_ids[first:last],
            bounds - bounds[0],
            inputs.lengths[start:stop],
        ),
        masked_positions=batch.masked_positions[begin:end] - first,
        masked_labels=batch.masked_labels[begin:end],
        next_sentence_labels=None if labels is None else labels[start:stop],
    )
