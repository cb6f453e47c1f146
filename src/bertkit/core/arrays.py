"""Runs of different lengths in flat arrays, and `.npy` files that grow."""
# R runs, N numbers.

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

Float = TypeVar("Float", bound=np.floating)


def run_starts(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Where runs start that are laid end to end: (R,) -> (R,)."""
    starts: NDArray[np.int64] = np.cumsum(lengths, dtype=np.int64) - lengths
    return starts


def run_bounds(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """The same with the end of the last run: (R,) -> (R+1,)."""
    bounds = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=bounds[1:])
    return bounds


def run_positions(starts: NDArray[np.int64] | int, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers from `starts[r]` on, `lengths[r]` of them, for each run r after the other: (R,), (R,) -> (N,)."""
    ends = np.cumsum(lengths)
    positions: NDArray[np.int64] = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)
    return positions


def padded_runs(values: NDArray[np.float32], bounds: NDArray[np.int64]) -> NDArray[np.float32]:
    """Runs of `values` (N,) between `bounds` (R + 1,) as rows (R, the longest), -inf behind a shorter run."""
    lengths = np.diff(bounds)
    rows = np.full((len(lengths), int(lengths.max(initial=0))), -np.inf, np.float32)
    rows[np.arange(rows.shape[1]) < lengths[:, None]] = values[bounds[0] : bounds[-1]]
    return rows


def softmax(logits: NDArray[Float]) -> NDArray[Float]:
    """Probabilities (N, C) of the rows of logits (N, C)."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities: NDArray[Float] = powers / powers.sum(-1, keepdims=True)
    return probabilities


class NpyAppender:
    """Writes an array part by part along its first axis, for arrays that do not have to fit in memory."""

    def __init__(self, path: Path, dtype: type[np.generic], row_shape: tuple[int, ...] = ()) -> None:
        self._dtype, self._row_shape = np.dtype(dtype), row_shape
        self._size = 0
        self._file = path.open("wb")
        self._write_header()

    def __len__(self) -> int:
        return self._size

    def append(self, values: NDArray[Any]) -> None:
        """Append `values` (n, *row_shape)."""
        assert values.shape[1:] == self._row_shape
        values.astype(self._dtype, copy=False).tofile(self._file)
        self._size += len(values)

    def close(self) -> None:
        """Write the final size into the header and close the file."""
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        # NumPy pads the header so that the first axis can grow in place.
        shape = (self._size, *self._row_shape)
        header = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(self._file, header)
