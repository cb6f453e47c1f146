"""Fixed instances as `.npy` files, written part by part and read memory-mapped."""
# I instances, N tokens of all instances, M predictions of all instances.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np

from bertkit.data.npy_appender import NpyAppender
from bertkit.data.shard import token_dtype
from bertkit.data.static_stream import StaticInstance
from bertkit.foundation.files import atomic_path

IDS, SEGMENTS, STARTS = "input_ids", "token_type_ids", "starts"
POSITIONS, LABELS, PREDICTION_STARTS = "masked_positions", "masked_labels", "prediction_starts"
RANDOM, ORDER = "next_sentence_labels", "order"


def instance_file(part: str) -> str:
    """File name of one array."""
    return f"instances.{part}.npy"


def array_types(vocab_size: int) -> dict[str, type[np.generic]]:
    """Type of each array."""
    return {
        IDS: token_dtype(vocab_size),  # (N,) after masking
        SEGMENTS: np.uint8,  # (N,)
        STARTS: np.int64,  # (I+1,) where each instance starts in the tokens, and the end of the last
        POSITIONS: np.uint16,  # (M,) counted from the instance's start, ascending
        LABELS: token_dtype(vocab_size),  # (M,) what stood there
        PREDICTION_STARTS: np.int64,  # (I+1,) where each instance starts in the predictions, and the end of the last
        RANDOM: np.uint8,  # (I,) 1 where the second segment is random
        ORDER: np.int64,  # (I,) which instance comes first, second, ...
    }


@contextmanager
def new_instance_arrays(folder: Path, vocab_size: int) -> Iterator[dict[str, NpyAppender]]:
    """Arrays to append to, whose files appear in `folder` when the context ends well."""
    with ExitStack() as stack:
        arrays = {}
        for part, dtype in array_types(vocab_size).items():
            path = stack.enter_context(atomic_path(folder / instance_file(part)))
            arrays[part] = stack.enter_context(closing(NpyAppender(path, dtype)))
        for part in (STARTS, PREDICTION_STARTS):
            arrays[part].append(np.zeros(1))
        yield arrays


def append_instances(arrays: Mapping[str, NpyAppender], instances: Sequence[StaticInstance]) -> None:
    """Append instances in the order of their making."""
    lengths = np.array([len(instance.input_ids) for instance in instances])
    first_segments = np.array([instance.first_segment for instance in instances])
    predictions = np.array([len(instance.positions) for instance in instances])
    arrays[STARTS].append(len(arrays[IDS]) + np.cumsum(lengths))
    arrays[PREDICTION_STARTS].append(len(arrays[POSITIONS]) + np.cumsum(predictions))
    arrays[IDS].append(np.concatenate([instance.input_ids for instance in instances]))
    segments = np.stack([first_segments, lengths - first_segments], 1).ravel()
    arrays[SEGMENTS].append(np.repeat(np.tile([0, 1], len(instances)), segments))
    arrays[POSITIONS].append(np.concatenate([instance.positions for instance in instances]))
    arrays[LABELS].append(np.concatenate([instance.labels for instance in instances]))
    arrays[RANDOM].append(np.array([instance.is_random for instance in instances]))
