"""The options of `bertkit prepare` for repeated text and for several machines."""

from pathlib import Path

import pytest

from bertkit.cli.main import USER_ERROR, run
from bertkit.data.corpus.prepared import PreparedCorpus

TEXT = "".join(f"The {word} runs over the green stone.\nIt keeps quiet again.\n\n" for word in "abcdefghijkl")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "corpus.txt").write_text(TEXT + TEXT)
    assert run(["vocab", str(folder / "corpus.txt"), "--size", "60", "--out", str(folder / "tokenizer")]) == 0
    return ["prepare", str(folder / "corpus.txt"), "--tokenizer", str(folder / "tokenizer"), "--workers", "1", "--out"]


def test_parts_are_prepared_and_merged(tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]):
    out = str(tmp_path / "data")
    assert run([*command, out, "--shard", "2/2", "--drop-duplicates", "documents"]) == 0
    assert run([*command, out, "--shard", "1/2", "--drop-duplicates", "documents"]) == 0
    assert f"bertkit prepare --merge --out {out}" in capsys.readouterr().err
    assert run(["prepare", "--merge", "--out", out]) == 0
    printed = capsys.readouterr().out
    assert "12 documents, 24 sentences" in printed
    assert "12 documents repeat earlier text" in printed
    assert "12 documents, 24 sentences and" in printed


def test_one_of_a_thing_is_not_many(tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]):
    (tmp_path / "one.txt").write_text("The green stone runs.\n")
    out = str(tmp_path / "data")
    assert run([command[0], str(tmp_path / "one.txt"), *command[2:], out]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1 document, 1 sentence, ")
    assert f" in 1 shard: {out}\n" in printed
    assert PreparedCorpus.open(out).describe().startswith("1 document, ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--shard", "3/2"], "--shard 3/2 does not exist"),
        (["--shard", "half"], "must be like 2/4"),
        (["--shard", "1/2", "--static"], "--static"),
        (["--merge"], "leave out everything but"),
        (["--drop-near-duplicates", "80"], "[0.3, 1]"),
        (["--ray-address", "auto"], "needs --engine ray"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
):
    capsys.readouterr()
    assert run([*command, str(tmp_path / "data"), *arguments]) == USER_ERROR
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("bertkit: error:")]
    assert len(errors) == 1
    assert words in errors[0]


def test_a_part_of_a_finished_folder_is_not_counted(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
):
    assert run([*command, str(tmp_path / "data")]) == 0
    capsys.readouterr()
    assert run([*command, str(tmp_path / "data"), "--shard", "1/2"]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "is prepared already" in printed.err


def test_merging_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["prepare", "--merge", "--overwrite", "--out", str(tmp_path)]) == USER_ERROR
    assert "leave out everything but" in capsys.readouterr().err


def test_no_workers_are_not_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["prepare", "text.txt", "--workers", "0", "--out", str(tmp_path / "data")]) == USER_ERROR
    assert "workers must be at least 1, got 0" in capsys.readouterr().err


def test_without_a_corpus(tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    assert run([command[0], *command[2:], str(tmp_path / "data")]) == USER_ERROR
    assert "no text is given" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_without_a_tokenizer(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["prepare", "text.txt", "--out", str(tmp_path / "data")]) == USER_ERROR
    assert "--tokenizer is missing" in capsys.readouterr().err
