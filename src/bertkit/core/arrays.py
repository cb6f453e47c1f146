"""An `.npy` file that grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


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
