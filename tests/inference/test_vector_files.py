import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bertkit.core.errors import InputError
from bertkit.data.readers.text import TextRow
from bertkit.inference.features import TextFeatures
from bertkit.inference.vector_files import vector_table, vector_writer
from bertkit.text.sequences import EncodedExample

VOCABULARY = ("[CLS]", "[SEP]", "cat")


def table(rows: list[tuple[int | str, str]], lengths: tuple[int, ...], *, tokens: bool = False):
    """Vectors that count up; with `tokens` a text has as many as its length says."""
    count = sum(lengths) if tokens else len(rows)
    examples = [
        EncodedExample(
            np.array([0, *[2] * (length - 2), 1], np.int32),
            np.zeros(length, np.int8),
            np.arange(2 * length, dtype=np.int32).reshape(-1, 2),
        )
        for length in lengths
    ]
    features = TextFeatures(np.arange(3 * count, dtype=np.float32).reshape(-1, 3), examples, np.zeros(len(rows), bool))
    return vector_table([TextRow(*row) for row in rows], features, VOCABULARY if tokens else None)


FIRST = table([("a", "one"), ("b", "two\n")], (2, 3))
SECOND = table([("ü", "")], (2,))


@pytest.mark.parametrize("with_ids", [True, False])
def test_npy_grows_and_loads_as_one_array_with_the_ids_beside_it(tmp_path: Path, with_ids: bool):
    with vector_writer(tmp_path / "v.npy", with_ids=with_ids) as writer:
        writer.write(FIRST)
        writer.write(SECOND)
        assert not (tmp_path / "v.npy").exists()
    expected = [[0, 1, 2], [3, 4, 5], [0, 1, 2]]
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy", mmap_mode="r"), expected)
    assert (tmp_path / "v.ids.jsonl").exists() == with_ids
    if with_ids:
        assert [json.loads(line) for line in (tmp_path / "v.ids.jsonl").open(encoding="utf-8")] == ["a", "b", "ü"]


def test_parquet_has_ids_texts_and_embeddings(tmp_path: Path):
    with vector_writer(tmp_path / "v.parquet") as writer:
        writer.write(FIRST)
        writer.write(SECOND)
    found = pq.read_table(tmp_path / "v.parquet")
    assert found["id"].to_pylist() == ["a", "b", "ü"]
    assert found["text"].to_pylist() == ["one", "two\n", ""]
    assert found["embedding"].to_pylist() == [[0, 1, 2], [3, 4, 5], [0, 1, 2]]


def test_vectors_of_tokens_are_lists_in_parquet_and_rows_with_bounds_in_npy(tmp_path: Path):
    parts = [table([(1, "cat"), (2, "cat cat")], (3, 4), tokens=True), table([(3, "")], (2,), tokens=True)]
    for suffix in (".npy", ".parquet"):
        with vector_writer(tmp_path / f"v{suffix}") as writer:
            for part in parts:
                writer.write(part)
    vectors, bounds = np.load(tmp_path / "v.npy"), np.load(tmp_path / "v.bounds.npy")
    offsets = np.load(tmp_path / "v.offsets.npy")
    assert vectors.shape == (9, 3)
    assert bounds.tolist() == [0, 3, 7, 9]
    found = pq.read_table(tmp_path / "v.parquet")
    assert found["tokens"].to_pylist()[0] == ["[CLS]", "cat", "[SEP]"]
    for text, (start, stop) in enumerate(pairwise(bounds)):
        assert found["embedding"].to_pylist()[text] == vectors[start:stop].tolist()
        assert found["offsets"].to_pylist()[text] == offsets[start:stop].tolist()


@pytest.mark.parametrize("name", ["v.npy", "v.parquet"])
def test_an_error_leaves_the_folder_as_it_was(tmp_path: Path, name: str):
    (tmp_path / name).write_text("before")
    with pytest.raises(RuntimeError), vector_writer(tmp_path / name, with_ids=True, overwrite=True) as writer:
        writer.write(FIRST)
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "before"


def test_another_suffix_and_a_folder_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"must end in \.npy or \.parquet"), vector_writer(tmp_path / "v.txt"):
        pass
    (tmp_path / "v.npy").mkdir()
    with pytest.raises(InputError, match="is a folder"), vector_writer(tmp_path / "v.npy"):
        pass
