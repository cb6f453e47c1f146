"""Every command that writes a file keeps what is there, its inputs above all, unless it is told to replace it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertkit.cli.main import USER_ERROR, run


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Inputs of every format, and an older file at every name that an output or a file beside it takes."""
    (tmp_path / "in.csv").write_text("text,label\nthe cat,good\na dog,bad\n")
    (tmp_path / "in.jsonl").write_text('{"text": "the cat"}\n')
    (tmp_path / "v.ids.jsonl").write_text('{"text": "the cat"}\n')
    pq.write_table(pa.table({"text": ["the cat"]}), tmp_path / "in.parquet")
    for name in (
        "old.csv",
        "old.tsv",
        "old.jsonl",
        "old.npy",
        "old.parquet",
        "old.html",
        "w.offsets.npy",
        "x.bounds.npy",
    ):
        (tmp_path / name).write_text("kept")
    return tmp_path


INPUT_OR_SIDE = [
    ["predict", "--input", "in.csv", "--output", "in.csv"],
    ["predict", "--input", "./in.csv", "--output", "in.csv"],
    ["embed", "--input", "in.parquet", "--text", "text", "--output", "in.parquet"],
    ["features", "--input", "in.parquet", "--text", "text", "--output", "in.parquet"],
    ["features", "--input", "v.ids.jsonl", "--text", "text", "--output", "v.npy"],
]
THERE = [
    *(["predict", "the cat", "--output", f"old.{suffix}"] for suffix in ("csv", "tsv", "jsonl")),
    *(
        [command, "the cat", "--output", f"old.{suffix}"]
        for command in ("embed", "features")
        for suffix in ("npy", "parquet")
    ),
    ["features", "the cat", "--output", "v.npy"],
    ["features", "the cat", "--pooling", "tokens", "--output", "w.npy"],
    ["features", "the cat", "--pooling", "tokens", "--output", "x.npy"],
    ["evaluate", "--data", "in.csv", "--report", "old.html"],
]


def _run(classifier: Path, command: list[str]) -> int:
    return run([command[0], str(classifier), *command[1:]])


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]], ids=["", "overwrite"])
@pytest.mark.parametrize("command", INPUT_OR_SIDE, ids=" ".join)
def test_no_command_writes_over_its_input(
    classifier: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys, command: list[str], overwrite: list[str]
):
    monkeypatch.chdir(folder)
    before = _contents(folder)
    assert _run(classifier, [*command, *overwrite]) == USER_ERROR
    said = capsys.readouterr().err
    assert "is one of the inputs and would be lost" in said
    assert said.count("\n") == 1
    assert _contents(folder) == before


@pytest.mark.parametrize("command", THERE, ids=" ".join)
def test_no_command_replaces_a_file_unless_it_is_told_to(
    classifier: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys, command: list[str]
):
    monkeypatch.chdir(folder)
    before = _contents(folder)
    assert _run(classifier, command) == USER_ERROR
    said = capsys.readouterr().err
    assert "is there already: choose another name, or replace it with --overwrite" in said
    assert said.count("\n") == 1
    assert _contents(folder) == before
    assert _run(classifier, [*command, "--overwrite"]) == 0
    after = _contents(folder)
    assert all(after[name] == content for name, content in before.items() if name.startswith("in."))
    assert after[command[-1]] != before.get(command[-1])
    assert not any(name.startswith(".") for name in after)


def test_a_model_is_replaced_as_a_whole_where_that_is_asked_for(
    classifier: Path, pretrained: Path, tmp_path: Path, capsys
):
    target = tmp_path / "model"
    assert run(["convert", str(classifier), str(target)]) == 0
    before = _contents(target)
    assert run(["convert", str(pretrained), str(target)]) == USER_ERROR
    assert "is there already: choose a new folder, or replace it with --overwrite" in capsys.readouterr().err
    assert run(["convert", str(target), str(target), "--overwrite"]) == USER_ERROR
    assert "holds the input" in capsys.readouterr().err
    assert _contents(target) == before
    assert run(["convert", str(pretrained), str(target), "--overwrite"]) == 0
    assert "task.json" in before
    assert "task.json" not in _contents(target)
    (target / "notes.md").write_text("kept")
    assert run(["convert", str(classifier), str(target), "--overwrite"]) == USER_ERROR
    assert "notes.md, which is not of a model" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_model_that_a_link_leads_to_is_written_there(classifier: Path, tmp_path: Path):
    (tmp_path / "big").mkdir()
    (tmp_path / "model").symlink_to("big")
    assert run(["convert", str(classifier), str(tmp_path / "model")]) == 0
    assert (tmp_path / "model").is_symlink()
    assert (tmp_path / "big" / "config.json").is_file()
