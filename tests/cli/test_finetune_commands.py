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
        (("--task", "sst2", "--data", ".", "--kind", "tagging"), "leave --kind tagging out"),
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
