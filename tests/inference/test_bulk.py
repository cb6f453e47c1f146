"""Embedding and predicting in parts: of many files, on several machines and workers, stopped and resumed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertkit.cli import inputs as inputs_module
from bertkit.cli.main import run
from bertkit.data.readers import tables
from bertkit.inference import bulk, feature_file

WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "far")


def _texts(first: int, count: int) -> list[str]:
    """Texts that all differ."""
    return [" ".join(WORDS[(number // 10**place) % 10] for place in range(3)) for number in range(first, first + count)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three files of texts, which make parts of ten."""
    monkeypatch.setattr(feature_file, "_PART_TEXTS", 10)
    monkeypatch.setattr(inputs_module, "_CHUNK_TEXTS", 10)
    monkeypatch.setattr(tables, "_MAX_ROWS", 10)
    source = tmp_path / "texts"
    source.mkdir()
    for number, count in enumerate((25, 7, 31)):
        (source / f"{number}.txt").write_text("\n".join(_texts(100 * number, count)) + "\n")
    return tmp_path


def _predict(classifier: Path, folder: Path, output: str, *more: str) -> int:
    arguments = ["--input", str(folder / "texts"), "--output", str(folder / output)]
    return run(["predict", str(classifier), *arguments, *more])


def _embed(pretrained: Path, folder: Path, output: str, *more: str) -> int:
    arguments = ["--input", str(folder / "texts"), "--output", str(folder / output)]
    return run(["embed", str(pretrained), *arguments, *more])


def _made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The parts that are made from now on."""
    made: list[Path] = []
    make = bulk._make_part

    def noted(task, **more):
        made.append(task.path)
        return make(task, **more)

    monkeypatch.setattr(bulk, "_make_part", noted)
    return made


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv"])
def test_shards_of_predictions_are_merged_to_the_bytes_of_one_machine(classifier: Path, folder: Path, suffix: str):
    assert _predict(classifier, folder, f"one{suffix}") == 0
    for number in (3, 1, 2):
        assert not (folder / f"many{suffix}").exists()
        assert _predict(classifier, folder, f"many{suffix}", "--shard", f"{number}/3") == 0
    assert run(["predict", "--merge", "--output", str(folder / f"many{suffix}")]) == 0
    assert (folder / f"many{suffix}").read_bytes() == (folder / f"one{suffix}").read_bytes()
    assert (folder / f"one{suffix}").read_text().count("\n") == 63 + (suffix != ".jsonl")
    assert sorted(path.name for path in folder.iterdir()) == [f"many{suffix}", f"one{suffix}", "texts"]


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_shards_of_vectors_are_merged_to_the_bytes_of_one_machine(pretrained: Path, folder: Path, suffix: str, capsys):
    assert _embed(pretrained, folder, f"one{suffix}") == 0
    assert _embed(pretrained, folder, f"many{suffix}", "--shard", "1/2") == 0
    assert "still to come: 2/2" in capsys.readouterr().err
    assert _embed(pretrained, folder, f"many{suffix}", "--shard", "2/2") == 0
    assert "--merge --output" in capsys.readouterr().err
    assert run(["embed", "--merge", "--output", str(folder / f"many{suffix}")]) == 0
    assert (folder / f"many{suffix}").read_bytes() == (folder / f"one{suffix}").read_bytes()
    if suffix == ".parquet":
        assert pq.read_table(folder / "one.parquet")["id"].to_pylist() == list(range(1, 64))


def test_the_shards_of_machines_without_a_common_disk_are_copied_together(pretrained: Path, folder: Path):
    assert _embed(pretrained, folder, "one.npy") == 0
    for number in (1, 2):
        assert _embed(pretrained, folder, f"machine{number}/v.npy", "--shard", f"{number}/2") == 0
    parts = folder / ".v.npy.parts"
    for number in (1, 2):
        subprocess.run(["cp", "-r", f"{folder}/machine{number}/.v.npy.parts/.", parts], check=True)
    assert run(["embed", "--merge", "--output", str(folder / "v.npy")]) == 0
    assert (folder / "v.npy").read_bytes() == (folder / "one.npy").read_bytes()


def test_the_whole_command_without_a_shard_uses_what_shards_have_made(
    pretrained: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    assert _embed(pretrained, folder, "v.npy", "--shard", "2/2") == 0
    made = _made(monkeypatch)
    assert _embed(pretrained, folder, "v.npy") == 0
    assert 0 < len(made) < 8


@pytest.mark.parametrize(
    ("prepare", "arguments", "words"),
    [
        ([], [], "does not exist: make the parts with --shard"),
        ([["--shard", "1/2"]], [], "lacks shard 2/2"),
        ([["--shard", "1/2"], ["--shard", "2/3"]], [], "shards of 2 and of 3"),
        ([["--shard", "1/2"], ["--shard", "2/2", "--pooling", "cls"]], [], "with another pooling than shard 1/2"),
        ([["--shard", "1/2"], ["--shard", "2/2"]], ["--input", "x"], "leave out everything but --output"),
        ([["--shard", "1/2"], ["--shard", "2/2"]], ["--shard", "1/2"], "leave out --shard"),
    ],
)
def test_what_does_not_belong_together_is_not_merged(
    pretrained: Path, folder: Path, capsys, prepare: list[list[str]], arguments: list[str], words: str
):
    for more in prepare:
        assert _embed(pretrained, folder, "v.npy", *more) == 0
    capsys.readouterr()
    assert run(["embed", "--merge", "--output", str(folder / "v.npy"), *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (folder / "v.npy").exists()


def test_the_last_shard_says_that_another_one_does_not_fit_it(pretrained: Path, folder: Path, capsys):
    assert _embed(pretrained, folder, "v.npy", "--shard", "1/2") == 0
    assert _embed(pretrained, folder, "v.npy", "--shard", "2/2", "--pooling", "cls") == 0
    said = capsys.readouterr().err
    assert "cannot be merged yet" in said and "another pooling" in said
    assert _embed(pretrained, folder, "v.npy", "--shard", "2/2") == 0
    assert "write it with --merge" in capsys.readouterr().err


def test_a_damaged_part_of_a_shard_is_named(pretrained: Path, folder: Path, capsys):
    for number in (1, 2):
        assert _embed(pretrained, folder, "v.npy", "--shard", f"{number}/2") == 0
    part = next((folder / ".v.npy.parts").glob("*.part"))
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 4
    part.write_bytes(content)
    assert run(["embed", "--merge", "--output", str(folder / "v.npy")]) == 2
    assert "is missing or damaged" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["text", "parquet"])
def test_a_bad_file_is_named_and_what_was_made_of_the_others_is_kept(
    classifier: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys, kind: str
):
    bad = folder / "texts" / "1.txt"
    good = bad.read_bytes()
    bad.write_bytes(b"the cat\n\xff\xfe\n")
    if kind == "parquet":
        bad.unlink()
        for path in (folder / "texts").glob("*.txt"):
            pq.write_table(pa.table({"text": path.read_text().splitlines()}), path.with_suffix(".parquet"))
            path.unlink()
        bad = folder / "texts" / "1.parquet"
        bad.write_bytes(b"PAR1 and no more")
    made = _made(monkeypatch)
    assert _predict(classifier, folder, "out.jsonl") == 2
    error = capsys.readouterr().err
    assert str(bad) in error
    assert "1 of 3 files could not be read" in error
    assert not (folder / "out.jsonl").exists()
    assert len(made) == 7
    made.clear()
    if kind == "parquet":
        pq.write_table(pa.table({"text": good.decode().splitlines()}), bad)
    else:
        bad.write_bytes(good)
    assert _predict(classifier, folder, "out.jsonl") == 0
    assert len(made) == 1
    texts = [json.loads(line)["text"] for line in (folder / "out.jsonl").read_text().splitlines()]
    assert texts == [*_texts(0, 25), *_texts(100, 7), *_texts(200, 31)]


def test_several_inputs_come_in_the_order_that_they_are_given(pretrained: Path, folder: Path):
    names = [str(folder / "texts" / name) for name in ("2.txt", "0.txt")]
    given = [argument for name in names for argument in ("--input", name)]
    assert run(["embed", str(pretrained), *given, "--output", str(folder / "v.parquet")]) == 0
    assert pq.read_table(folder / "v.parquet")["text"].to_pylist() == _texts(200, 31) + _texts(0, 25)


def test_two_workers_of_this_machine_write_the_same_bytes(classifier: Path, folder: Path):
    assert _predict(classifier, folder, "one.jsonl") == 0
    assert _predict(classifier, folder, "two.jsonl", "--workers", "2") == 0
    assert (folder / "two.jsonl").read_bytes() == (folder / "one.jsonl").read_bytes()


def test_two_workers_of_a_local_ray_give_the_same_rows_lose_no_file_to_a_bad_one_and_resume(
    pretrained: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    pytest.importorskip("ray", reason="needs Ray")
    for path in sorted((folder / "texts").glob("*.txt")):
        pq.write_table(pa.table({"text": path.read_text().splitlines()}), path.with_suffix(".parquet"))
        path.unlink()
    assert _embed(pretrained, folder, "one.parquet", "--text", "text") == 0
    bad = folder / "texts" / "0.parquet"
    good = bad.read_bytes()
    bad.write_bytes(good[:100])
    on_ray = ["--text", "text", "--engine", "ray", "--workers", "2"]
    assert _embed(pretrained, folder, "ray.parquet", *on_ray) == 2
    assert str(bad) in capsys.readouterr().err
    assert len([*(folder / ".ray.parquet.parts").glob("*.part")]) == 5
    bad.write_bytes(good)
    assert _embed(pretrained, folder, "ray.parquet", *on_ray) == 0
    found, expected = (pq.read_table(folder / name) for name in ("ray.parquet", "one.parquet"))
    assert found["text"].to_pylist() == expected["text"].to_pylist()
    assert found.equals(expected)


@pytest.mark.parametrize("kills", [(0, 3, 6)])
def test_a_prediction_that_was_killed_between_any_two_parts_ends_with_the_same_bytes(
    classifier: Path, folder: Path, kills: tuple[int, ...]
):
    assert _predict(classifier, folder, "one.jsonl") == 0
    script = (
        "import os, signal, sys\n"
        "from bertkit.cli import inputs\n"
        "from bertkit.cli.main import run\n"
        "from bertkit.inference import bulk\n"
        "inputs._CHUNK_TEXTS = 10\n"
        "make, left = bulk._make_part, [int(sys.argv[1])]\n"
        "def killed(task, **more):\n"
        "    if not left[0]: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    left[0] -= 1\n"
        "    return make(task, **more)\n"
        "bulk._make_part = killed\n"
        "sys.exit(run(sys.argv[2:]))\n"
    )
    command = ["predict", str(classifier), "--input", str(folder / "texts"), "--output", str(folder / "out.jsonl")]
    for parts in kills:
        ended = subprocess.run([sys.executable, "-c", script, str(parts), *command], env=os.environ, check=False)
        assert ended.returncode in (-signal.SIGKILL, 0)
        assert (folder / "out.jsonl").exists() == (ended.returncode == 0)
    assert _predict(classifier, folder, "out.jsonl") == 0 or (folder / "out.jsonl").exists()
    assert (folder / "out.jsonl").read_bytes() == (folder / "one.jsonl").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["one.jsonl", "out.jsonl", "texts"]


def _killed_when_it_is_written(monkeypatch: pytest.MonkeyPatch, again: list[str]) -> None:
    def stop(*given, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bulk.shutil, "rmtree", stop)
        assert run(again) == 130


@pytest.mark.parametrize("output", ["out.jsonl", "out.npy"])
def test_a_call_that_was_killed_with_its_output_in_place_ends_well_when_it_is_made_again(
    pretrained: Path, classifier: Path, folder: Path, output: str, monkeypatch: pytest.MonkeyPatch
):
    start = ["predict", str(classifier)] if output == "out.jsonl" else ["features", str(pretrained), "--layers", "all"]
    command = [*start, "--input", str(folder / "texts"), "--output", str(folder / output)]
    _killed_when_it_is_written(monkeypatch, command)
    written = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert output in written
    made = _made(monkeypatch)
    assert run(command) == 0
    assert not made
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == written
    assert not [*folder.glob(".*")]


def test_another_file_in_the_place_of_an_output_that_was_begun_is_kept(
    classifier: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    command = ["predict", str(classifier), "--input", str(folder / "texts"), "--output", str(folder / "out.jsonl")]
    _killed_when_it_is_written(monkeypatch, command)
    (folder / "out.jsonl").write_text("mine")
    assert run(command) == 2
    assert "is there already" in capsys.readouterr().err
    assert (folder / "out.jsonl").read_text() == "mine"
    assert run([*command, "--overwrite"]) == 0
    assert not [*folder.glob(".*")]
