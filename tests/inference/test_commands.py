"""`bertkit predict`, `fill-mask` and `embed`, run as a person runs them but in this process."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bertkit.cli import inputs as texts_module
from bertkit.cli.main import run
from bertkit.inference.load import load
from error_lines import the_error


@pytest.fixture
def standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def give(content: bytes) -> None:
        path = tmp_path / "standard input"
        path.write_bytes(content)
        monkeypatch.setattr(texts_module, "_STANDARD_INPUT", str(path))
        monkeypatch.setattr(sys, "stdin", path.open())

    return give


def test_predict_prints_label_probability_and_text(classifier: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["predict", str(classifier), "the cat", "a  dog\tran"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    expected = load(classifier).predict(["the cat", "a dog ran"])
    assert [line[0] for line in lines] == [prediction.label for prediction in expected]
    assert [float(line[1]) for line in lines] == pytest.approx(
        [prediction.probabilities[prediction.label] for prediction in expected], abs=1e-4
    )
    assert [line[2] for line in lines] == ["the cat", "a dog ran"]


def test_predict_reads_pairs_from_standard_input_and_writes_json(classifier: Path, standard_input, capsys):
    standard_input(b"the cat\ta dog\nthe mat\tsat on\n")
    assert run(["predict", str(classifier), "--pair", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(record["text"], record["text_pair"]) for record in records] == [
        ("the cat", "a dog"),
        ("the mat", "sat on"),
    ]
    assert set(records[0]["probabilities"]) == {"bad", "fair", "good"}


def test_predict_reads_columns_of_a_table_and_writes_a_file(scorer: Path, tmp_path: Path, capsys):
    (tmp_path / "in.csv").write_text('one,two\n"the cat, a dog",mat\nsat,"on"\n')
    arguments = ["--input", str(tmp_path / "in.csv"), "--text", "one", "--text-pair", "two"]
    assert run(["predict", str(scorer), *arguments, "--output", str(tmp_path / "out.jsonl")]) == 0
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    expected = load(scorer).predict([("the cat, a dog", "mat"), ("sat", "on")])
    assert [record["score"] for record in records] == pytest.approx([p.score for p in expected], abs=1e-5)
    assert capsys.readouterr().out == f"2 predictions: {tmp_path / 'out.jsonl'}\n"


def test_fill_mask_prints_the_text_and_its_fillings(pretrained: Path, capsys):
    assert run(["fill-mask", str(pretrained), "a [MASK] sat", "[MASK] [MASK]", "--top-k", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a [MASK] sat" and lines[3] == "[MASK] [MASK]"
    assert len(lines) == 2 + 2 + 4
    assert lines[-1].startswith("  [MASK] 2  0.")


def test_embed_writes_vectors_line_by_line_in_order(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    lines = ["the cat sat", "", "a dog", "the mat and a cat"]
    (tmp_path / "in.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(texts_module, "_CHUNK_TEXTS", 3)
    output = tmp_path / "out.npy"
    assert run(["embed", str(pretrained), "--input", str(tmp_path / "in.txt"), "--output", str(output)]) == 0
    np.testing.assert_allclose(np.load(output), load(pretrained).embed(lines), atol=1e-5)
    assert "4 vectors of 24" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        (b"", [], "standard input has no text"),
        (b"fine\n\xff\n", ["--output", "v.npy"], "is not UTF-8 at byte 5"),
        (b"the cat\n", ["--output", "v.csv"], "must end in .npy or .parquet"),
        (b"", ["--input", "missing.txt"], "no such file"),
        (b"", ["one", "--input", "missing.txt"], "give one of them"),
        (b"", ["--text", "column"], "give the table with --input"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    pretrained: Path, tmp_path: Path, monkeypatch, standard_input, capsys, content: bytes, arguments: list, words: str
):
    standard_input(content)
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    default = [] if "--output" in arguments else ["--output", "v.npy"]
    assert run(["embed", str(pretrained), *arguments, *default]) == 2
    error = the_error(capsys.readouterr().err)
    assert words in error
    assert list(folder.iterdir()) == []


def test_a_pair_without_a_tab_is_named_by_its_number(classifier: Path, standard_input, capsys):
    standard_input(b"the cat\ta dog\nno tab\n")
    assert run(["predict", str(classifier), "--pair"]) == 2
    assert "text 2 has 0 tabs" in capsys.readouterr().err


def test_a_table_has_the_columns_of_fine_tuning_or_those_named(classifier: Path, tmp_path: Path, capsys):
    (tmp_path / "in.csv").write_text("text,other\nthe cat,a dog\n")
    assert run(["predict", str(classifier), "--input", str(tmp_path / "in.csv")]) == 0
    assert capsys.readouterr().out.rstrip().endswith("\tthe cat")
    assert run(["predict", str(classifier), "--input", str(tmp_path / "in.csv"), "--text", "other"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("\ta dog")
    assert run(["predict", str(classifier), "--input", str(tmp_path / "in.csv"), "--text", "txt"]) == 2
    assert "has no column 'txt'; it has 'text', 'other': did you mean 'text'?" in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error(classifier: Path, monkeypatch: pytest.MonkeyPatch, capfd):
    import os

    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as broken:
        monkeypatch.setattr(sys, "stdout", broken)
        assert run(["predict", str(classifier), *["the cat"] * 10]) == 0
    assert capfd.readouterr().err == ""
