from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bertkit.foundation.errors import InputError
from bertkit.inference.vector_file import vector_writer

FIRST, SECOND = np.arange(6, dtype=np.float32).reshape(3, 2), np.full((1, 2), 7, np.float32)


def test_npy_grows_and_loads_as_one_array(tmp_path: Path):
    with vector_writer(tmp_path / "v.npy") as writer:
        writer.write(["a", "b", "c"], FIRST)
        writer.write(["d"], SECOND)
        assert not (tmp_path / "v.npy").exists()
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy", mmap_mode="r"), np.concatenate([FIRST, SECOND]))


def test_parquet_has_texts_and_embeddings(tmp_path: Path):
    with vector_writer(tmp_path / "v.parquet") as writer:
        writer.write(["a", "b", "c"], FIRST)
        writer.write(["d"], SECOND)
    table = pq.read_table(tmp_path / "v.parquet")
    assert table["text"].to_pylist() == ["a", "b", "c", "d"]
    assert table["embedding"].to_pylist() == np.concatenate([FIRST, SECOND]).tolist()


@pytest.mark.parametrize("name", ["v.npy", "v.parquet"])
def test_an_error_leaves_the_folder_as_it_was(tmp_path: Path, name: str):
    (tmp_path / name).write_text("before")
    with pytest.raises(RuntimeError), vector_writer(tmp_path / name) as writer:
        writer.write(["a", "b", "c"], FIRST)
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "before"


def test_another_suffix_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"must end in \.npy or \.parquet"), vector_writer(tmp_path / "v.txt"):
        pass
