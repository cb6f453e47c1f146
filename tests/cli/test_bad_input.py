"""Every mistake of a user is one line on standard error and its exit code, and leaves nothing half-written."""

import errno
import json
import lzma
import os
from pathlib import Path
from typing import Any

import pytest

from bertkit.cli.main import USER_ERROR, run
from bertkit.core.errors import DivergedError, ResourceError
from bertkit.core.files import exclusive
from bertkit.text import tokenizer_files as tokenizer_folder

TEXT = "".join(f"The {word} runs over the green stone.\nIt keeps quiet again.\n\n" for word in "abcdefghijkl")
SIZES = ["--preset", "tiny", "--steps", "2", "--batch-size", "4", "--seq-length", "32", "--precision", "float32"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with corpus.txt, tokenizer/ and data/."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "corpus.txt").write_text(TEXT)
    corpus, tokenizer = str(folder / "corpus.txt"), str(folder / "tokenizer")
    assert run(["vocab", corpus, "--size", "60", "--out", tokenizer]) == 0
    assert run(["prepare", corpus, "--tokenizer", tokenizer, "--out", str(folder / "data"), "--workers", "1"]) == 0
    return folder


def _refused(
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    *words: str,
    out: Path | None = None,
    code: int = USER_ERROR,
) -> None:
    capsys.readouterr()
    assert run(arguments) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("bertkit: error: ")]
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]
    if out is not None:
        assert not out.exists()


def _prepared(folder: Path, prepared: Path, text: str, documents: int | None = None) -> Path:
    """A folder prepared from the first `documents` of a text."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    source = folder.with_suffix(".txt")
    source.write_text("\n\n".join(text.split("\n\n")[:documents]))
    tokenizer = ["--tokenizer", str(prepared / "tokenizer")]
    assert run(["prepare", str(source), *tokenizer, "--workers", "1", "--out", str(folder)]) == 0
    return folder


def test_no_such_file(tmp_path: Path, capsys):
    _refused(capsys, ["vocab", "nowhere.txt", "--out", str(tmp_path / "o")], "nowhere.txt", out=tmp_path / "o")


def test_an_empty_corpus(tmp_path: Path, prepared: Path, capsys):
    (tmp_path / "a.txt").write_text("\n\n  \n")
    tokenizer = ["--tokenizer", str(prepared / "tokenizer")]
    arguments = ["prepare", str(tmp_path / "a.txt"), *tokenizer, "--out", str(tmp_path / "o")]
    _refused(capsys, arguments, "empty", "a.txt", out=tmp_path / "o")
    _refused(capsys, ["vocab", str(tmp_path / "a.txt"), "--out", str(tmp_path / "o")], "empty", out=tmp_path / "o")


def test_one_document_cannot_teach_next_sentences_but_can_do_without(tmp_path: Path, prepared: Path, capsys):
    (tmp_path / "a.txt").write_text(TEXT.replace("\n\n", "\n"))
    arguments = ["prepare", str(tmp_path / "a.txt"), "--tokenizer", str(prepared / "tokenizer"), "--workers", "1"]
    assert run([*arguments, "--out", str(tmp_path / "data")]) == 0
    assert "one document" in capsys.readouterr().err
    for number, held_out in enumerate([[], ["--held-out", str(tmp_path / "data")]]):
        out = tmp_path / f"run{number}"
        pretrain = ["pretrain", str(tmp_path / "data"), *SIZES, *held_out, "--out", str(out)]
        _refused(capsys, pretrain, "data has one", "--no-nsp", out=out)
        assert run([*pretrain, "--no-nsp"]) == 0
        assert "masked_lm_loss" in capsys.readouterr().out
        assert (out / "model" / "model.safetensors").is_file()


def test_one_document_of_one_sentence_needs_another_folder_to_be_measured_on(tmp_path: Path, prepared: Path, capsys):
    data = _prepared(tmp_path / "one", prepared, "The stone is green.\n")
    pretrain = ["pretrain", str(data), *SIZES, "--no-nsp", "--out", str(tmp_path / "run")]
    _refused(capsys, pretrain, "one sentence", "--held-out", out=tmp_path / "run")


def test_three_documents_are_too_few_to_hold_some_out_for_next_sentences(tmp_path: Path, prepared: Path, capsys):
    data = _prepared(tmp_path / "three", prepared, TEXT, documents=3)
    pretrain = ["pretrain", str(data), *SIZES, "--out", str(tmp_path / "run")]
    words = ["after holding out 1 of 3 documents", "--held-out", "--no-nsp"]
    _refused(capsys, pretrain, *words, out=tmp_path / "run")
    one = _prepared(tmp_path / "one", prepared, TEXT, documents=1)
    _refused(capsys, [*pretrain, "--held-out", str(one)], f"{one} has one", "--no-nsp", out=tmp_path / "run")
    assert run([*pretrain, "--held-out", str(prepared / "data")]) == 0


def test_held_out_folders_of_one_name(tmp_path: Path, prepared: Path, capsys):
    names = [str(_prepared(tmp_path / name / "valid", prepared, TEXT)) for name in "ab"]
    pretrain = ["pretrain", str(prepared / "data"), *SIZES, "--out", str(tmp_path / "run")]
    held_out = [part for name in names for part in ("--held-out", name)]
    _refused(capsys, [*pretrain, *held_out], *names, "rename", out=tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (None, ["vocab_size is missing"]),
        ({"vocab_size": 10}, ["vocab_size is 10"]),
        ({"shards": [5]}, ["shards[0] is 5, not an object"]),
    ],
)
def test_a_changed_manifest(tmp_path: Path, prepared: Path, capsys, change: dict[str, Any] | None, words: list[str]):
    data = _prepared(tmp_path / "data", prepared, TEXT)
    content = {"format": 1} if change is None else json.loads((data / "manifest.json").read_text()) | change
    content.pop("checksum", None)  # as a version without checksums wrote it
    (data / "manifest.json").write_text(json.dumps(content))
    pretrain = ["pretrain", str(data), *SIZES, "--out", str(tmp_path / "run")]
    _refused(capsys, pretrain, "manifest.json", "prepare", *words, out=tmp_path / "run")


def test_a_vocabulary_is_not_written_among_other_files(tmp_path: Path, prepared: Path, capsys, monkeypatch):
    vocab = ["vocab", str(prepared / "corpus.txt"), "--size", "60", "--out"]
    (tmp_path / "notes.txt").write_text("mine")
    _refused(capsys, [*vocab, str(tmp_path)], str(tmp_path), "notes.txt")
    _refused(capsys, [*vocab, str(tmp_path / "notes.txt")], "notes.txt", "folder")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    _refused(capsys, [*vocab, "."], "is the current folder")
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "notes.txt"]


def test_a_full_disk_leaves_no_tokenizer_or_the_one_before(tmp_path: Path, prepared: Path, capsys, monkeypatch):
    vocab = ["vocab", str(prepared / "corpus.txt"), "--out", str(tmp_path / "tokenizer"), "--size"]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(tokenizer_folder, "write_json", full)  # of the last of three files
        _refused(capsys, [*vocab, "60"], "no space left", out=tmp_path / "tokenizer", code=ResourceError.exit_code)
        assert list(tmp_path.iterdir()) == []
    assert run([*vocab, "60"]) == 0
    _refused(capsys, [*vocab, "50"], "is there already", "--overwrite")
    before = {path.name: path.read_bytes() for path in (tmp_path / "tokenizer").iterdir()}
    with monkeypatch.context() as disk:
        disk.setattr(tokenizer_folder, "write_json", full)
        _refused(capsys, [*vocab, "50", "--overwrite"], "no space left", code=ResourceError.exit_code)
    assert {path.name: path.read_bytes() for path in (tmp_path / "tokenizer").iterdir()} == before
    assert run([*vocab, "50", "--overwrite"]) == 0
    assert len((tmp_path / "tokenizer" / "vocab.txt").read_text().splitlines()) <= 50
    assert sorted(path.name for path in (tmp_path / "tokenizer").iterdir()) == sorted(before)


def test_bytes_that_are_not_utf8_are_named_with_their_offset_or_replaced(tmp_path: Path, prepared: Path, capsys):
    (tmp_path / "a.txt").write_bytes(b"good text here\n\nbad \xff byte\n")
    arguments = ["prepare", str(tmp_path / "a.txt"), "--tokenizer", str(prepared / "tokenizer"), "--workers", "1"]
    arguments += ["--out", str(tmp_path / "o")]
    _refused(capsys, arguments, "a.txt", "20", "replace", out=tmp_path / "o")
    assert run([*arguments, "--encoding-errors", "replace"]) == 0


def test_a_line_of_ten_megabytes_is_prepared(tmp_path: Path, prepared: Path):
    (tmp_path / "a.txt").write_text("green stone " * 833_334 + "\n\nthe other\n")
    arguments = ["prepare", str(tmp_path / "a.txt"), "--tokenizer", str(prepared / "tokenizer"), "--workers", "1"]
    assert run([*arguments, "--out", str(tmp_path / "o")]) == 0


def test_a_truncated_xz(tmp_path: Path, prepared: Path, capsys):
    content = lzma.compress(TEXT.encode() * 50)
    (tmp_path / "a.txt.xz").write_bytes(content[: len(content) // 2])
    arguments = ["prepare", str(tmp_path / "a.txt.xz"), "--tokenizer", str(prepared / "tokenizer"), "--workers", "1"]
    _refused(capsys, [*arguments, "--out", str(tmp_path / "o")], "a.txt.xz", out=tmp_path / "o")


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_shard_that_was_cut_or_changed(tmp_path: Path, prepared: Path, capsys, damage: str):
    tokenizer, data = ["--tokenizer", str(prepared / "tokenizer")], tmp_path / "data"
    assert run(["prepare", str(prepared / "corpus.txt"), *tokenizer, "--out", str(data), "--workers", "1"]) == 0
    shard = max(data.glob("shard-*"), key=lambda path: path.stat().st_size)
    content = shard.read_bytes()
    shard.write_bytes(content[:-2] if damage == "cut" else content[:-2] + b"\0\0")
    pretrain = ["pretrain", str(data), *SIZES, "--out", str(tmp_path / "run")]
    _refused(capsys, pretrain, shard.name, "prepare", out=tmp_path / "run")


def test_a_vocabulary_that_is_not_the_corpus_own(tmp_path: Path, prepared: Path, capsys):
    corpus = str(prepared / "corpus.txt")
    assert run(["vocab", corpus, "--size", "50", "--out", str(tmp_path / "other")]) == 0
    prepare = ["prepare", corpus, "--tokenizer", str(tmp_path / "other"), "--workers", "1"]
    assert run([*prepare, "--out", str(tmp_path / "held")]) == 0
    pretrain = ["pretrain", str(prepared / "data"), *SIZES, "--out"]
    held_out = ["--held-out", str(tmp_path / "held")]
    _refused(capsys, [*pretrain, str(tmp_path / "a"), *held_out], "another vocabulary", out=tmp_path / "a")

    assert run([*pretrain, str(tmp_path / "run")]) == 0
    other = ["pretrain", str(tmp_path / "held"), *SIZES, "--initial-model", str(tmp_path / "run" / "model")]
    _refused(capsys, [*other, "--out", str(tmp_path / "b")], "another vocabulary", out=tmp_path / "b")


def test_a_model_that_does_not_fit_the_recipe(tmp_path: Path, prepared: Path, capsys):
    pretrain = ["pretrain", str(prepared / "data"), *SIZES, "--out"]
    assert run([*pretrain, str(tmp_path / "run")]) == 0
    model = ["--initial-model", str(tmp_path / "run" / "model")]
    for recipe, *say in (("modern", "of type bert", "--architecture bert"), ("budget", "--initial-weights paper")):
        arguments = [*pretrain, str(tmp_path / "b"), *model, "--recipe", recipe, "--no-nsp"]
        _refused(capsys, arguments, *say, out=tmp_path / "b")


def test_a_sequence_length_over_the_position_table(tmp_path: Path, prepared: Path, capsys):
    arguments = ["pretrain", str(prepared / "data"), "--preset", "tiny", "--steps", "2", "--seq-length", "513"]
    _refused(capsys, [*arguments, "--out", str(tmp_path / "o")], "513", "512", out=tmp_path / "o")


def test_a_run_folder_in_use(tmp_path: Path, prepared: Path, capsys):
    with exclusive(tmp_path / "run"):
        arguments = ["pretrain", str(prepared / "data"), *SIZES, "--out", str(tmp_path / "run")]
        _refused(capsys, arguments, "in use", code=ResourceError.exit_code)


def test_another_configuration_in_the_same_folder(tmp_path: Path, prepared: Path, capsys):
    arguments = ["pretrain", str(prepared / "data"), *SIZES, "--out", str(tmp_path / "run")]
    assert run(arguments) == 0
    _refused(capsys, [*arguments, "--seed", "5"], "training.seed", "0", "5", "--no-resume")
    assert run([*arguments, "--seed", "5", "--no-resume"]) == 0
    assert run([*arguments, "--seed", "5", "--resume"]) == 0


def test_resume_without_a_run(tmp_path: Path, prepared: Path, capsys):
    arguments = ["pretrain", str(prepared / "data"), *SIZES, "--out", str(tmp_path / "run"), "--resume"]
    _refused(capsys, arguments, "no run")


def test_an_unknown_option_in_the_yaml_names_the_nearest(tmp_path: Path, prepared: Path, capsys):
    (tmp_path / "options.yaml").write_text("steps: 2\nbatch_sise: 4\n")
    arguments = ["pretrain", str(prepared / "data"), "--out", str(tmp_path / "o")]
    config = ["--config", str(tmp_path / "options.yaml")]
    _refused(capsys, [*arguments, *config], "batch_sise", "--batch-size", out=tmp_path / "o")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"steps: 2\nseeds: [1, 2\n", ("options.yaml, line 3 is not valid YAML (expected ',' or ']'", "correct it")),
        (b"steps: 2\n\tseeds: 1\n", ("options.yaml, line 2 is not valid YAML",)),
        (b"steps: \xff\n", ("options.yaml is not valid YAML", "position 7")),
        (b"", ("options.yaml holds no options", "one a line")),
        (b"- steps\n", ("options.yaml holds no options",)),
        (b"masking:\n  select_rate: 0.2\n", ("masking has options below it (select_rate)", "without indentation")),
    ],
)
@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_a_broken_yaml_is_named_with_its_line(
    tmp_path: Path, capsys, command: str, content: bytes, words: tuple[str, ...]
):
    (tmp_path / "options.yaml").write_bytes(content)
    arguments = [command, str(tmp_path), "--out", str(tmp_path / "o"), "--config", str(tmp_path / "options.yaml")]
    _refused(capsys, arguments, *words, out=tmp_path / "o")


def test_options_from_a_yaml_file_are_taken(tmp_path: Path, prepared: Path):
    (tmp_path / "options.yaml").write_text("steps: 2\npreset: tiny\nbatch_size: 4\nseq-length: 32\n")
    arguments = ["pretrain", str(prepared / "data"), "--out", str(tmp_path / "o")]
    assert run([*arguments, f"--config={tmp_path / 'options.yaml'}"]) == 0
    assert "batch_size: 4" in (tmp_path / "o" / "config.yaml").read_text()


def test_a_checkpoint_cut_in_the_middle_falls_back_and_ends_the_same(tmp_path: Path, prepared: Path, capsys):
    arguments = ["pretrain", str(prepared / "data"), *SIZES, "--checkpoint-every", "1", "--out"]
    assert run([*arguments, str(tmp_path / "a")]) == 0
    whole = (tmp_path / "a" / "model" / "model.safetensors").read_bytes()
    (newest,) = (tmp_path / "a" / "checkpoints" / "step-00000002").glob("*.safetensors")
    newest.write_bytes(newest.read_bytes()[:1000])
    capsys.readouterr()
    assert run([*arguments, str(tmp_path / "a")]) == 0
    assert "step-00000002" in capsys.readouterr().err
    assert (tmp_path / "a" / "model" / "model.safetensors").read_bytes() == whole


def test_a_dry_run_writes_nothing(tmp_path: Path, prepared: Path, capsys):
    assert run(["pretrain", str(prepared / "data"), *SIZES, "--dry-run", "--out", str(tmp_path / "run")]) == 0
    assert "parameters" in capsys.readouterr().out
    one = ["--preset", "tiny", "--steps", "1", "--batch-size", "1", "--seq-length", "32"]
    assert run(["pretrain", str(prepared / "data"), *one, "--dry-run", "--out", str(tmp_path / "run")]) == 0
    assert "1 step of 1 sequence " in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_pretraining_that_diverges_writes_no_model(tmp_path: Path, prepared: Path, capsys):
    for name, spoilt in (("a", ["--learning-rate", "1e30"]), ("b", ["--weight-decay", "1e30"])):
        arguments = ["pretrain", str(prepared / "data"), *SIZES, *spoilt, "--out", str(tmp_path / name)]
        _refused(capsys, arguments, "training diverged by step", code=DivergedError.exit_code)
        assert not (tmp_path / name / "model").exists()
