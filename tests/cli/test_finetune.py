import json
from pathlib import Path

import pytest

from bertkit.cli.main import USER_ERROR, main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """SST-2 as sentences."""
    rows = [f"a {word} film\t{label}" for word, label in (("good", 1), ("bad", 0), ("fine", 1), ("weak", 0))] * 4
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path


def _run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return exit_.value.code, captured.out, captured.err


def test_a_benchmark_is_fine_tuned_and_evaluated_by_name(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
):
    out = folder / "run"
    options = ("--epochs", 1, "--max-length", 12, "--seeds", 2, "--json", "--out", out)
    code, printed, _ = _run(capsys, "finetune", tiny_model, "--task", "sst2-sentences", "--data", folder, *options)
    assert code == 0
    results = json.loads(printed)
    assert [seed["seed"] for seed in results["seeds"]] == [0, 1]
    best = results["seeds"][results["best_seed"]]
    code, printed, _ = _run(capsys, "evaluate", out / "model", "--data", folder, "--json")
    assert code == 0
    assert json.loads(printed) == {
        "examples": 16,
        **{name: pytest.approx(v, abs=1e-3) for name, v in best["test"].items()},
    }
    # a file needs no column names: those of fine-tuning are kept with the model
    code, printed, _ = _run(capsys, "evaluate", out / "model", "--data", folder / "dev.tsv")
    assert code == 0
    assert printed.startswith("examples: 16\naccuracy: ")


def test_ones_own_table_is_fine_tuned_by_its_columns(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
):
    path = folder / "own.csv"
    path.write_text("review,verdict\n" + "a good film,up\na bad film,down\n" * 20)
    columns = ("--text", "review", "--label", "verdict")
    code, printed, _ = _run(
        capsys,
        "finetune",
        tiny_model,
        "--train",
        path,
        *columns,
        "--epochs",
        1,
        "--max-length",
        12,
        "--out",
        folder / "run",
    )
    assert code == 0
    assert "dev accuracy" in printed
    assert "4 of 40 training examples" in " ".join(printed.split())
    code, printed, _ = _run(capsys, "evaluate", folder / "run/model", "--data", path, "--label", "verdicts")
    assert code == USER_ERROR


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "sst2"), "--task NAME and --data FOLDER belong together"),
        ((), "give either --task NAME --data FOLDER or --train FILE"),
        (("--task", "ssst2", "--data", "."), "did you mean SST-2"),
        (("--train", "nowhere.csv"), "no such file"),
        (("--task", "sst2", "--data", ".", "--kind", "tagging"), "leave --kind out"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
):
    code, _, error = _run(capsys, "finetune", tiny_model, *arguments, "--out", tmp_path / "run")
    assert code == USER_ERROR
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_benchmark_of_another_kind_is_refused(folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    out = folder / "run"
    options = ("--epochs", 1, "--max-length", 12, "--out", out)
    assert _run(capsys, "finetune", tiny_model, "--task", "sst2-sentences", "--data", folder, *options)[0] == 0
    code, _, error = _run(capsys, "evaluate", out / "model", "--data", folder, "--task", "conll2003")
    assert code == USER_ERROR
    assert "CoNLL-2003 is tagging, but" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--task", "sst2-sentences", "--data", ".", "--dev", "d.tsv", "--no-header", "--metrics", "f1"),
            "sst2-sentences has its own kind, files, columns and metrics: leave --dev, --header, --metrics out",
        ),
        (
            ("--task", "sst2", "--data", ".", "--test", "t.tsv", "--text", "a", "--text-pair", "b", "--label", "c"),
            "leave --test, --text, --text-pair, --label out",
        ),
        (("--train", "own.csv", "--choices", "a"), "classification has no such column: leave --choices out"),
        (
            ("--train", "own.csv", "--kind", "tagging", "--text-pair", "a"),
            "tagging has no such column: leave --text-pair out",
        ),
        (
            ("--train", "own.conll", "--kind", "tagging", "--doc-stride", "3"),
            "doc_stride has no meaning for tagging: leave it out",
        ),
        (("--train", "own.csv", "--joint"), "joint has no meaning for classification: leave it out"),
        (
            ("--task", "sst2-sentences", "--data", ".", "--context", "document"),
            "context has no meaning for classification: leave it out",
        ),
    ],
)
def test_options_without_effect_are_refused(
    folder: Path,
    tiny_model: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
):
    monkeypatch.chdir(folder)
    (folder / "own.csv").write_text("text,label\na good film,up\na bad film,down\n")
    (folder / "own.conll").write_text("a O\nfilm B-X\n")
    code, _, error = _run(capsys, "finetune", tiny_model, *arguments, "--out", folder / "run")
    assert code == USER_ERROR
    assert message in error
    assert error.count("\n") == 1
    assert not (folder / "run").exists()


def test_the_study_of_features_refuses_what_a_benchmark_has_of_its_own(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = ("--task", "sst2-sentences", "--data", folder, "--kind", "tagging", "--dev", "d.tsv")
    code, _, error = _run(capsys, "study", "features", tiny_model, *arguments, "--out", folder / "run")
    assert code == USER_ERROR
    assert "sst2-sentences has its own kind, files, columns and metrics: leave --kind, --dev out" in error
    assert not (folder / "run").exists()


def test_evaluation_refuses_options_without_effect(folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    out = folder / "run"
    options = ("--epochs", 1, "--max-length", 12, "--out", out)
    assert _run(capsys, "finetune", tiny_model, "--task", "sst2-sentences", "--data", folder, *options)[0] == 0
    for arguments, message in (
        ((folder, "--text", "0", "--label", "1"), "SST-2-sentences has columns of its own: leave --text, --label out"),
        ((folder / "dev.tsv", "--choices", "1"), "classification has no such column: leave --choices out"),
        ((folder / "dev.tsv", "--split", "dev"), "dev.tsv has no splits: leave --split out"),
    ):
        code, _, error = _run(capsys, "evaluate", out / "model", "--data", *arguments)
        assert code == USER_ERROR
        assert message in error
        assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("kind", "count", "reason"),
    [
        ("classification", 3, "all its labels are the same"),
        ("classification", 1, "it has 1 example"),
        ("regression", 3, "all its labels are the same"),
    ],
)
def test_a_seed_has_not_failed_where_dev_cannot_tell(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str], kind: str, count: int, reason: str
):
    (folder / "one.tsv").write_text("a good film\t1\n" * count)
    columns = ("--no-header", "--text", 0, "--label", 1)
    options = ("--kind", kind, "--epochs", 1, "--max-length", 12, "--json", "--out", folder / "run")
    tables = ("--train", folder / "train.tsv", "--dev", folder / "one.tsv")
    code, printed, said = _run(capsys, "finetune", tiny_model, *tables, *columns, *options)
    assert code == 0
    assert json.loads(printed)["failed_seeds"] == []
    assert f"dev cannot tell whether a seed has failed: {reason}" in said
    assert "seeds failed" not in said


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.csv", "text,label\na good film,1\ngood, funny and odd,0\n", "row 3 has 3 fields, the header 2"),
        ("in.csv", "text,label\n" + "a good film,1\na bad film,0\n" * 5, "cannot be written"),
    ],
)
def test_cut_rows_and_places_that_are_taken_are_one_line(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, message: str
):
    (tmp_path / name).write_text(content)
    (tmp_path / "taken").write_text("kept")
    for out in (tmp_path / "taken", tmp_path / "taken/run"):
        options = ("--max-length", 12, "--out", out)
        code, _, error = _run(capsys, "finetune", tiny_model, "--train", tmp_path / name, *options)
        assert code == USER_ERROR
        assert message in error
        assert error.count("\n") == 1
    assert (tmp_path / "taken").read_text() == "kept"
