"""`bertkit features` and the parts that it is made of."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bertkit.cli.main import run
from bertkit.inference import feature_file
from bertkit.inference.load import load
from error_lines import the_error

WORDS = ("the", "cat", "sat", "on", "a", "mat")
LINES = [" ".join((*WORDS[: 1 + number % 6], str(number))) for number in range(25)]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    (tmp_path / "in.txt").write_text("\n".join(LINES) + "\n")
    return tmp_path / "in.txt"


def _features(model: Path, source: Path, output: Path, *more: str) -> int:
    return run(["features", str(model), "--input", str(source), "--output", str(output), "--layers", "all", *more])


@pytest.mark.parametrize("pooling", ["mean", "tokens"])
@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_a_call_that_was_stopped_is_resumed_and_ends_with_the_same_bytes(
    pretrained: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, pooling: str
):
    monkeypatch.setattr(feature_file, "_PART_TEXTS", 4)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert _features(pretrained, texts, whole / f"v{suffix}", "--pooling", pooling) == 0

    extract, made = feature_file.extract_features, []

    def extract_four_times(model, part, plan, advance):
        if len(made) == 4:
            raise RuntimeError
        made.append(part)
        return extract(model, part, plan, advance)

    monkeypatch.setattr(feature_file, "extract_features", extract_four_times)
    with pytest.raises(RuntimeError):
        _features(pretrained, texts, stopped / f"v{suffix}", "--pooling", pooling)
    assert [path.name for path in stopped.iterdir()] == [f".v{suffix}.parts"]
    made.clear()
    assert _features(pretrained, texts, stopped / f"v{suffix}", "--pooling", pooling) == 0
    assert [part[0] for part in made] == [LINES[16], LINES[20], LINES[24]]
    found = {path.name: path.read_bytes() for path in stopped.iterdir()}
    assert found == {path.name: path.read_bytes() for path in whole.iterdir()}


def test_parts_of_other_texts_or_layers_are_made_again(
    pretrained: Path,
    texts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(feature_file, "_PART_TEXTS", 10)
    write = feature_file.vector_writer

    def no_room(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(feature_file, "vector_writer", no_room)
    assert _features(pretrained, texts, tmp_path / "v.npy") != 0
    assert "no space left on the disk" in capsys.readouterr().err
    monkeypatch.setattr(feature_file, "vector_writer", write)
    changed = [*LINES[:10], "a mat", *LINES[11:]]
    texts.write_text("\n".join(changed) + "\n")
    assert _features(pretrained, texts, tmp_path / "v.npy", "--combine", "sum") == 0
    expected = load(pretrained).features(changed, "all", "sum")
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), expected, atol=1e-5)


def test_ids_come_from_a_column_or_count_the_lines(pretrained: Path, texts: Path, tmp_path: Path, capsys):
    table = tmp_path / "in.jsonl"
    rows = [("b7", "the cat"), ("a", ""), ("b7", "the cat sat on a mat " * 20)]
    table.write_text("".join(json.dumps({"name": name, "body": text}) + "\n" for name, text in rows))
    columns = ["--text", "body", "--id", "name"]
    assert _features(pretrained, table, tmp_path / "v.parquet", *columns) == 0
    printed = capsys.readouterr()
    assert "features of 3 texts, 48 wide" in printed.out
    for warning in (
        "texts cut at max_length 40 tokens: 1",
        "special tokens alone: 1",
        "id of an earlier text: 1 (the first: text 3)",
    ):
        assert warning in printed.err
    found = pq.read_table(tmp_path / "v.parquet")
    assert found["id"].to_pylist() == ["b7", "a", "b7"]
    expected = load(pretrained).features([text for _, text in rows], "all")
    np.testing.assert_allclose(found["embedding"].to_pylist(), expected, atol=1e-5)

    assert _features(pretrained, texts, tmp_path / "w.npy") == 0
    assert (tmp_path / "w.ids.jsonl").read_text() == "".join(f"{number}\n" for number in range(1, 26))


def test_the_last_four_layers_are_the_usual_ones_or_all_of_fewer(pretrained: Path, texts: Path, tmp_path: Path):
    assert run(["features", str(pretrained), "--input", str(texts), "--output", str(tmp_path / "v.npy")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), load(pretrained).features(LINES, "all"))


def test_a_text_of_a_megabyte_is_cut(pretrained: Path, tmp_path: Path, capsys):
    (tmp_path / "in.txt").write_text("the cat " * 125_000 + "\n")
    assert _features(pretrained, tmp_path / "in.txt", tmp_path / "v.npy") == 0
    assert "texts cut at max_length 40 tokens: 1" in capsys.readouterr().err
    assert np.load(tmp_path / "v.npy").shape == (1, 48)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input", "missing.txt"], "no such file"),
        (["--layers", "lats"], "layer 'lats' is unknown"),
        (
            ["--layers", "-9"],
            "layer -9 is unknown, the model has 2: use embeddings, last, all or a number from -3 to 2",
        ),
        (["--combine", "weighted", "--weights", "1,x"], "weights '1,x' are no numbers"),
        (["--id", "name"], "--id names a table's column"),
        (["--input", "t.csv", "--text", "body", "--id", "nam"], "did you mean 'name'"),
        (
            ["--input", "t.jsonl", "--text", "body", "--id", "name"],
            "row 2: column 'name' is 3, and ids before it are words",
        ),
        (["--output", "in.txt/v.npy"], "cannot be written"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    pretrained: Path, texts: Path, monkeypatch: pytest.MonkeyPatch, capsys, arguments: list[str], words: str
):
    monkeypatch.chdir(texts.parent)
    Path("t.csv").write_text("name,body\na,the cat\n")
    Path("t.jsonl").write_text('{"name": "a", "body": "the cat"}\n{"name": 3, "body": "a mat"}\n')
    before = sorted(texts.parent.iterdir())
    usual = {"--input": "in.txt", "--output": "v.npy", "--layers": "all"}
    for option, value in usual.items():
        arguments = arguments if option in arguments else [*arguments, option, value]
    assert run(["features", str(pretrained), *arguments]) == 2
    error = the_error(capsys.readouterr().err)
    assert words in error
    assert sorted(texts.parent.iterdir()) == before
