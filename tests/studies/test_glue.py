import json
import zipfile
from pathlib import Path

import pytest

from bertkit.core.errors import InputError
from bertkit.recipes.options import FinetuneOptions
from bertkit.studies.glue import run_glue
from bertkit.studies.glue_submission import write_glue_submission
from bertkit.tasks.glue import GLUE

OPTIONS = FinetuneOptions(epochs=1, max_length=16, seeds=2, precision="float32")
FILES = ["AX", "CoLA", "MNLI-m", "MNLI-mm", "MRPC", "QNLI", "QQP", "RTE", "SST-2", "STS-B", "WNLI"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four tasks of GLUE, a few rows each, in the official layout."""
    folder = tmp_path_factory.mktemp("glue")

    def write(name: str, header: str, rows: list[str]) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("\n".join([header, *rows] if header else rows) + "\n")

    words = ("good", "bad") * 6
    for split in ("train", "dev"):
        write(f"CoLA/{split}.tsv", "", [f"s\t{index % 2}\t*\ta {word} film" for index, word in enumerate(words)])
        rows = [
            f"{index}\tg\tf\t2012\t1\tn\tn\ta {word} film\tthe plot\t{index % 6}.5" for index, word in enumerate(words)
        ]
        write(
            f"STS-B/{split}.tsv",
            "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
            rows,
        )
    labels = ("entailment", "neutral", "contradiction") * 4
    rows = [
        f"{index}\ta {word} film\tthe plot\t{label}"
        for index, (word, label) in enumerate(zip(words, labels, strict=True))
    ]
    for split in ("train", "dev_matched", "dev_mismatched"):
        write(f"MNLI/{split}.tsv", "index\tsentence1\tsentence2\tgold_label", rows)
    write("CoLA/test.tsv", "index\tsentence", ['0\ta "good film', "1\ta bad film"])
    test = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
    write("STS-B/test.tsv", test, [f"{index}\tg\tf\t2012\t1\tn\tn\ta film\tthe plot" for index in range(3)])
    for name in ("MNLI/test_matched.tsv", "MNLI/test_mismatched.tsv", "AX/diagnostic.tsv"):
        write(name, "index\tsentence1\tsentence2", ["0\ta film\tthe plot", "1\tbad\tgood"])
    write("WNLI/test.tsv", "index\tsentence1\tsentence2", ["0\ta film\tthe plot"])
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    run_glue(tiny_model, data, out, OPTIONS)
    return out


def test_tasks_with_files_are_run_and_shown_beside_the_paper_and_the_others_are_listed_as_skipped(run: Path):
    written = json.loads((run / "results.json").read_text())
    rows = {row["task"]: row for row in written["table"]}
    assert list(rows) == ["MNLI-m", "MNLI-mm", "CoLA", "STS-B"]
    assert rows["MNLI-mm"]["dev"] == [seed["dev"]["accuracy_mismatched"] for seed in written["runs"]["MNLI"]["seeds"]]
    assert (rows["CoLA"]["metric"], rows["CoLA"]["paper_base"], rows["CoLA"]["paper_large"]) == ("matthews", 52.1, 60.5)
    assert rows["STS-B"]["metric"] == "spearman"
    assert rows["CoLA"]["mean"] == pytest.approx(sum(rows["CoLA"]["dev"]) / 2)
    assert set(written["skipped"]) == {"QQP", "QNLI", "SST-2", "MRPC", "RTE", "WNLI"}
    assert "has no train.tsv, no dev.tsv" in written["skipped"]["WNLI"]
    text = (run / "results.md").read_text()
    assert "| average of 4 |" in text
    assert f"{(84.6 + 83.4 + 52.1 + 85.8) / 4:.1f}" in text


def test_a_finished_run_is_read_and_not_trained_again(run: Path, data: Path, tiny_model: Path):
    before = {path: path.stat().st_mtime_ns for name in ("result.json", "report.html") for path in run.rglob(name)}
    assert len(before) == 3 * (2 + 1)
    assert run_glue(tiny_model, data, run, OPTIONS).table().row_count == 5
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_the_zip_has_all_files_of_the_leaderboard_filled_where_there_is_no_model(run: Path, data: Path, tmp_path: Path):
    files = {file.name: file for file in write_glue_submission(run, data, tmp_path / "glue.zip")}
    with zipfile.ZipFile(tmp_path / "glue.zip") as archive:
        lines = {name: archive.read(name).decode().splitlines() for name in archive.namelist()}
    assert sorted(lines) == sorted(f"{name}.tsv" for name in FILES) == sorted(files)
    for entry in GLUE:
        header, *rows = lines[f"{entry.name}.tsv"]
        assert header == "index\tprediction"
        assert [row.split("\t")[0] for row in rows] == [str(index) for index in range(len(rows))]
        values = [row.split("\t")[1] for row in rows]
        if entry.score_range is None:
            assert set(values) <= set(entry.labels)
        else:
            assert all(0 <= float(value) <= 5 for value in values)
    predicted = {name for name, file in files.items() if file.model is not None}
    assert predicted == {"AX.tsv", "CoLA.tsv", "MNLI-m.tsv", "MNLI-mm.tsv", "STS-B.tsv"}
    assert files["AX.tsv"].model == files["MNLI-m.tsv"].model == run / "MNLI/model"
    assert len(lines["WNLI.tsv"]) == 1 + 1
    assert "NO MODEL of WNLI" in files["WNLI.tsv"].warnings[1]
    assert len(lines["RTE.tsv"]) == 1 + 3000
    assert set(lines["RTE.tsv"][1:]) == {f"{index}\tentailment" for index in range(3000)}
    assert "NO TEST FILE test.tsv" in files["RTE.tsv"].warnings[0]
    assert files["CoLA.tsv"].warnings == ("2 rows, but the leaderboard wants 1,063",)


def test_a_model_of_another_task_is_refused(run: Path, data: Path, tmp_path: Path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/CoLA").symlink_to(run / "MNLI/model")
    with pytest.raises(
        InputError, match=r"for classification of contradiction, .*but CoLA wants classification of 0, 1"
    ):
        write_glue_submission(tmp_path / "models", data, tmp_path / "glue.zip")
    assert not (tmp_path / "glue.zip").exists()


def test_nothing_to_run_or_nothing_to_predict_with_is_an_input_error(data: Path, tiny_model: Path, tmp_path: Path):
    with pytest.raises(InputError, match="has no files of any GLUE task"):
        run_glue(tiny_model, tmp_path, tmp_path / "out", OPTIONS)
    with pytest.raises(InputError, match="AX is not a GLUE task with a training set"):
        run_glue(tiny_model, data, tmp_path / "out", OPTIONS, tasks=["ax"])
    with pytest.raises(InputError, match="has no model"):
        write_glue_submission(tmp_path, data, tmp_path / "glue.zip")
