"""- runs of different lengths (run_positions ...), arrays and .npy files that grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


def run_positions(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers from `starts[r]` on, `lengths[r]` of them, for each run r after the other."""
    ends = np.cumsum(lengths)
    positions: NDArray[np.int64] = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)
    return positions


def run_starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where runs that lie end to end start."""
    starts: NDArray[np.int64] = np.cumsum(lengths) - lengths
    return starts


class NpyAppender:
    """Writes an array part by part along its first axis, for arrays that memory need not hold."""

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
        """Say in the header how much there is."""
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        # NumPy pads the header so that the first axis can grow in place.
        shape = (self._size, *self._row_shape)
        header = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(self._file, header)


Scalar = TypeVar("Scalar", bound=np.generic)


class GrowingArray(Generic[Scalar]):
    """A flat array to append to; room doubles, so appending costs the same however small the parts are."""

    def __init__(self, dtype: type[Scalar]) -> None:
        self._room: NDArray[Scalar] = np.empty(1024, dtype)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def values(self) -> NDArray[Any]:
        """(len(self),) view of what was appended, valid until the next `extend`."""
        return self._room[: self._size]

    def extend(self, values: NDArray[Any]) -> None:
        """Append `values`."""
        size = self._size + len(values)
        if size > len(self._room):
            room = np.empty(max(size, 2 * len(self._room)), self._room.dtype)
            room[: self._size] = self.values
            self._room = room
        self._room[self._size : size] = values
        self._size = size
