import json
import re
from pathlib import Path

import pytest

from bertkit.cli import finetune as finetune_command
from bertkit.cli.main import USER_ERROR, main
from bertkit.recipes.options import GridOptions
from bertkit.tasks import benchmarks
from bertkit.tasks.benchmark import Benchmark, Split
from bertkit.tasks.options import Columns

QUICK = ("--epochs", "1", "--max-length", "16")


def _run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return exit_.value.code, captured.out, captured.err


def _write(path: Path, header: str, *rows: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([header, *rows * 4]) + "\n")


def test_the_row_that_contributing_shows_is_all_that_a_new_task_needs(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    text = (Path(__file__).resolve().parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```python\n(Benchmark\(.*?\n\))\n```", text, re.DOTALL)
    row = eval(shown, {"Benchmark": Benchmark, "Columns": Columns, "Split": Split})
    monkeypatch.setattr(benchmarks, "BENCHMARKS", (*benchmarks.BENCHMARKS, row))
    for split in ("train", "dev", "test"):
        header = "gold_label\tsentence1\tsentence2"
        _write(tmp_path / f"{split}.tsv", header, 'entails\ta "good film\ta fine film', "neutral\ta bad film\tthe plot")
    monkeypatch.setattr(
        finetune_command, "PAPER_GRID", GridOptions(batch_sizes=(8,), learning_rates=(1e-3,), epochs=(1, 2), restarts=2)
    )
    arguments = (tiny_model, "--task", "scitail", "--data", tmp_path, "--out", tmp_path / "run", "--max-length", 16)
    code, printed, _ = _run(capsys, "finetune", *arguments, "--grid", "paper", "--json")
    assert code == 0
    assert [setting["epochs"] for setting in json.loads(printed)["grid"]] == [1, 2]
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "2 settings" in page
    assert page.count("(chosen)") == 1
    assert len(json.loads(printed)["seeds"]) == 2
    code, printed, _ = _run(capsys, "evaluate", tmp_path / "run/model", "--data", tmp_path, "--json")
    assert code == 0
    assert json.loads(printed)["examples"] == 8
    code, _, error = _run(capsys, "finetune", *arguments, "--grid", "paper", "--epochs", 3)
    assert code == USER_ERROR
    assert "leave epochs 3 out" in error


def test_a_refused_glue_leaves_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    _write(tmp_path / "CoLA/train.tsv", "a\t1\t\ttext")
    _write(tmp_path / "CoLA/dev.tsv", "a\t1\t\ttext")
    before = sorted(path.name for path in tmp_path.iterdir())
    for data in (tmp_path, tmp_path / "nowhere"):
        arguments = ("glue", tmp_path / "no-model", "--data", data, "--out", tmp_path / "deep" / "out", *QUICK)
        assert _run(capsys, *arguments)[0] == USER_ERROR
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_glue_runs_what_is_there_measures_the_diagnostic_set_and_makes_the_zip(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
):
    data, out = tmp_path / "glue", tmp_path / "out"
    data.mkdir()
    rows = ("a good film\tthe plot\tneutral", "a bad film\tthe plot\tentailment", "a film\tso long\tcontradiction")
    for split in ("train", "dev_matched", "dev_mismatched"):
        _write(data / "MNLI" / f"{split}.tsv", "sentence1\tsentence2\tgold_label", *rows)
    _write(data / "AX/diagnostic-full.tsv", "Premise\tHypothesis\tLabel", *rows)
    code, printed, error = _run(capsys, "glue", tiny_model, "--data", data, "--out", out, *QUICK)
    assert code == 0
    assert "MNLI-mm" in printed
    assert "CoLA is left out" in error
    written = json.loads((out / "results.json").read_text())
    assert (
        f"| AX | matthews |  | {100 * written['diagnostic']['matthews']:.1f} | 1 |" in (out / "results.md").read_text()
    )
    assert "AX" in printed
    code, printed, _ = _run(capsys, "evaluate", out / "MNLI/model", "--task", "ax", "--data", data / "AX", "--json")
    assert code == 0
    assert json.loads(printed) == {"examples": 12, **{k: pytest.approx(v) for k, v in written["diagnostic"].items()}}
    code, printed, error = _run(capsys, "glue-submission", out, "--data", data, "--out", tmp_path / "glue.zip")
    assert code == 0
    assert "NOTHING: largest class" in printed
    assert "AX.tsv: NO TEST FILE diagnostic.tsv" in error
    assert _run(capsys, "glue-submission", out, "--data", data, "--out", tmp_path / "glue.tar")[0] == USER_ERROR
