"""Labelled files with something amiss, for every family: one clear line, or a counted warning and nothing lost."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertkit.cli.main import USER_ERROR, run
from bertkit.model.config import BertConfig
from bertkit.model.initialization import initialize
from bertkit.pretrained.folder import ModelFolder
from bertkit.tasks.choice import MultipleChoice
from bertkit.tasks.classification import Classification
from bertkit.tasks.contract import Task
from bertkit.tasks.model import new_task_model, save_task_model
from bertkit.tasks.questions.task import SpanExtraction
from bertkit.tasks.regression import Regression
from bertkit.tasks.tagging.task import Tagging
from bertkit.text.tokenizer import Tokenizer
from error_lines import the_error

TASKS: dict[str, Task[Any]] = {
    "classification": Classification(classes=("bad", "good"), max_length=12),
    "regression": Regression(max_length=12),
    "span-extraction": SpanExtraction(
        max_length=12, doc_stride=4, max_question_length=6, columns=SpanExtraction.usual_columns
    ),
    "multiple-choice": MultipleChoice(max_length=12, columns=MultipleChoice.usual_columns),
    "tagging": Tagging(classes=("O", "B-PER", "I-PER"), max_length=12, columns=Tagging.usual_columns),
}
LONG = "the film was so long " * 5_000
SAME = {"id": "same", "question": "what", "answers": [{"text": "film", "answer_start": 0}]}
TEN: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "classification": ("in.jsonl", [{"text": f"film {n}", "label": "bad" if n % 2 else "good"} for n in range(10)]),
    "regression": ("in.jsonl", [{"text": f"film {n}", "label": n / 3} for n in range(10)]),
    "span-extraction": (
        "in.jsonl",
        [{"question": "what", "context": f"a good film {n}", "answers": ["good"]} for n in range(10)],
    ),
    "multiple-choice": (
        "in.jsonl",
        [{"question": "what", "choices": ["good", "bad", "long"], "label": n % 3} for n in range(10)],
    ),
    "tagging": ("in.jsonl", [{"text": "a film", "spans": [{"start": 2, "end": 6, "label": "X"}]}] * 10),
}


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    tokenizer = Tokenizer.from_pretrained(tiny_model)
    config: BertConfig = ModelFolder.open(tiny_model).config
    folders: dict[str, str] = {}
    for kind, task in TASKS.items():
        fresh = new_task_model(task, config)
        initialize(fresh, 0.3, seed=5)
        folders[kind] = str(tmp_path_factory.mktemp(kind))
        save_task_model(Path(folders[kind]), fresh, task, tokenizer)
    return folders.__getitem__


def _write(path: Path, content: str | list[dict[str, Any]]) -> str:
    text = content if isinstance(content, str) else "".join(json.dumps(record) + "\n" for record in content)
    path.write_text(text, encoding="utf-8")
    return str(path)


def _refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    capsys.readouterr()
    assert run(arguments) == USER_ERROR
    return the_error(capsys.readouterr().err)


@pytest.mark.parametrize("kind", TASKS)
def test_a_table_without_the_columns_is_named_with_those_it_has(
    model: Callable[[str], str], tmp_path: Path, capsys, kind: str
):
    path = _write(tmp_path / "in.csv", "one,two\n1,2\n")
    for command in (["evaluate", model(kind), "--data"], ["predict", model(kind), "--input"]):
        assert "it has 'one', 'two'" in _refused(capsys, [*command, path])


@pytest.mark.parametrize("name", ["in.csv", "in.tsv"])
def test_an_empty_table_is_said_to_be_empty(model: Callable[[str], str], tmp_path: Path, capsys, name: str):
    path = _write(tmp_path / name, "\n")
    for command in (["evaluate", model("classification"), "--data"], ["predict", model("classification"), "--input"]):
        assert f"{path} is empty: give a table whose first line names" in _refused(capsys, [*command, path])


@pytest.mark.parametrize(
    ("kind", "name", "content"),
    [
        ("classification", "in.csv", "text\na film\n"),
        ("classification", "in.csv", "text,label\na film,\n"),
        ("classification", "in.jsonl", [{"text": "a film", "label": -1}]),
        ("regression", "in.csv", "text,label\na film,\n"),
        ("multiple-choice", "in.jsonl", [{"question": "what", "choices": ["a", "b"], "label": None}]),
        ("tagging", "in.conll", "film\nlong\n"),
        ("tagging", "in.jsonl", [{"text": "a film"}]),
        ("span-extraction", "in.jsonl", [{"question": "what", "context": "a film"}]),
    ],
)
def test_a_file_without_labels_is_sent_to_predict(
    model: Callable[[str], str], tmp_path: Path, capsys, kind: str, name: str, content: str | list[dict[str, Any]]
):
    path = _write(tmp_path / name, content)
    assert "for a file without labels use bertkit predict" in _refused(
        capsys, ["evaluate", model(kind), "--data", path]
    )
    assert run(["predict", model(kind), "--input", path]) == 0


@pytest.mark.parametrize(
    ("kind", "name", "content"),
    [
        ("classification", "in.csv", "text,label\na \xff film,good\na bad film,bad\n"),
        ("classification", "in.jsonl", '{"text": "a \xff film", "label": "good"}\n{"text": "film", "label": "bad"}\n'),
        (
            "span-extraction",
            "in.json",
            '{"data": [{"paragraphs": [{"context": "a \xff film", "qas": [{"id": "1", "question": "what", "answers": '
            '[{"text": "film", "answer_start": 4}]}]}]}]}',
        ),
        ("span-extraction", "in.jsonl", '{"question": "what", "context": "a \xff film", "answers": ["film"]}\n' * 10),
        ("multiple-choice", "in.jsonl", '{"question": "wh\xff", "choices": ["a", "b"], "label": 1}\n'),
        ("tagging", "in.conll", "a O\nf\xfflm B-PER\n"),
        ("tagging", "in.jsonl", '{"text": ["a", "f\xfflm"], "spans": ["O", "B-PER"]}\n'),
    ],
)
def test_bytes_that_are_not_utf8_are_refused_or_replaced(
    model: Callable[[str], str], tmp_path: Path, capsys, kind: str, name: str, content: str
):
    path = tmp_path / name
    path.write_bytes(content.encode("latin-1"))
    replaced = ["--encoding-errors", "replace"]
    for command in (["evaluate", model(kind), "--data", str(path)], ["predict", model(kind), "--input", str(path)]):
        assert "not UTF-8" in _refused(capsys, command)
        assert run([*command, *replaced]) == 0


def test_fine_tuning_replaces_such_bytes_and_its_model_does_so_when_it_is_measured(
    tiny_model: Path, tmp_path: Path, capsys
):
    path, run_folder = tmp_path / "in.csv", tmp_path / "run"
    path.write_bytes(b"text,label\n" + b"a \xff film,up\na bad film,down\n" * 10)
    arguments = ["finetune", str(tiny_model), "--train", str(path), "--out", str(run_folder)]
    arguments += ["--epochs", "1", "--max-length", "12"]
    assert "replace such bytes with --encoding-errors replace" in _refused(capsys, arguments)
    assert not run_folder.exists()
    assert run([*arguments, "--encoding-errors", "replace"]) == 0
    evaluate = ["evaluate", str(run_folder / "model"), "--data", str(path)]
    assert run(evaluate) == 0
    assert "not UTF-8" in _refused(capsys, [*evaluate, "--encoding-errors", "strict"])


def test_a_benchmark_with_such_bytes_is_read_where_that_is_asked_for(tiny_model: Path, tmp_path: Path, capsys):
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.tsv").write_bytes(b"a \xff film\t1\na bad film\t0\n" * 4)
    benchmark = ["--task", "sst2-sentences", "--data", str(tmp_path)]
    options = ["--epochs", "1", "--max-length", "12", "--out", str(tmp_path / "run")]
    assert "not UTF-8" in _refused(capsys, ["finetune", str(tiny_model), *benchmark, *options])
    assert run(["finetune", str(tiny_model), *benchmark, *options, "--encoding-errors", "replace"]) == 0
    assert run(["evaluate", str(tmp_path / "run/model"), "--data", str(tmp_path)]) == 0
    study = ["study", "features", str(tiny_model), *benchmark, "--out", str(tmp_path / "study")]
    assert "not UTF-8" in _refused(capsys, study)


def test_a_report_is_a_page(model: Callable[[str], str], tmp_path: Path, capsys):
    arguments = ["evaluate", model("regression"), "--data", "in.csv", "--report", str(tmp_path)]
    assert "must end in .html" in _refused(capsys, arguments)


def test_a_broken_file_is_not_sent_to_predict(model: Callable[[str], str], tmp_path: Path, capsys):
    path = _write(tmp_path / "in.jsonl", [{"text": 3, "label": "good"}])
    assert "predict" not in _refused(capsys, ["evaluate", model("classification"), "--data", path])


@pytest.mark.parametrize(
    ("kind", "records", "words"),
    [
        ("classification", [{"text": "film", "label": 1.5}, {"text": "film", "label": 2.5}], "--kind regression"),
        ("classification", [{"text": "film", "label": "good"}] * 3, "at least 2 labels, there is only 'good'"),
        ("tagging", [{"text": ["a", "film"], "spans": ["O", "O"]}] * 3, "at least 2 tags, there is only 'O'"),
        ("span-extraction", [{"question": "what", "context": "film", "answers": ["plot"]}] * 3, "has an answer in its"),
    ],
)
def test_what_cannot_be_learnt_is_refused_before_anything_is_written(
    tiny_model: Path, tmp_path: Path, capsys, kind: str, records: list[dict[str, Any]], words: str
):
    path, out = _write(tmp_path / "in.jsonl", records), tmp_path / "run"
    arguments = ["finetune", str(tiny_model), "--kind", kind, "--train", path, "--out", str(out)]
    assert words in _refused(capsys, arguments)
    assert not out.exists()


def test_scores_for_a_classifier_are_sent_to_the_command_that_learns_them(
    model: Callable[[str], str], tmp_path: Path, capsys
):
    path = _write(tmp_path / "in.jsonl", [{"text": "a film", "label": 1.5}])
    remedy = "scores are for models of `bertkit finetune --kind regression`"
    assert remedy in _refused(capsys, ["evaluate", model("classification"), "--data", path])


def test_a_dev_label_that_training_lacks_is_named(tiny_model: Path, tmp_path: Path, capsys):
    train = _write(tmp_path / "train.csv", "text,label\na,up\nb,down\n")
    dev = _write(tmp_path / "dev.csv", "text,label\na,up\nb,mid\n")
    arguments = ["finetune", str(tiny_model), "--train", train, "--dev", dev, "--out", str(tmp_path / "run")]
    error = _refused(capsys, arguments)
    assert "dev.csv, row 3: label 'mid' is unknown; training has 'down', 'up'" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("kind", "name", "content", "examples", "warning"),
    [
        (
            "classification",
            "in.jsonl",
            [{"text": LONG, "label": "good"}],
            1,
            "1 of 1 texts are longer than max_length 12",
        ),
        (
            "multiple-choice",
            "in.jsonl",
            [{"question": "what", "choices": ["a", LONG], "label": 0}],
            1,
            "1 of 2 texts are longer than max_length 12",
        ),
        (
            "span-extraction",
            "in.jsonl",
            [{"question": "film " * count, "context": "a film", "answers": ["film"]} for count in (1, 2, 9)],
            3,
            "1 of 3 questions are longer than max_question_length 6: their ends are not read (the first: ",
        ),
        (
            "span-extraction",
            "in.jsonl",
            [{"question": "what", "context": "a film", "answers": answers} for answers in (["film"], [], [])],
            3,
            "2 of 3 questions have no answer, which this model cannot say",
        ),
        (
            "span-extraction",
            "in.jsonl",
            [
                {"question": "what", "context": "", "answers": ["film"]},
                {"question": "what", "context": "the plot", "answers": ["film"]},
            ],
            2,
            "2 answers are not in their context: not trained on, but scored",
        ),
        (
            "span-extraction",
            "in.jsonl",
            [{"question": "what", "context": "film", "answers": []}] * 2,
            2,
            "none of 2 questions has an answer: is",
        ),
        (
            "span-extraction",
            "in.json",
            json.dumps({"data": [{"paragraphs": [{"context": "film", "qas": [SAME, SAME]}]}]}),
            2,
            "2 questions have an id that another one has",
        ),
        (
            "tagging",
            "in.conll",
            "a O\nfilm B-LOC\n",
            1,
            "1 words have tags that training lacks (B-LOC): scored as missed",
        ),
        ("tagging", "in.conll", "a B-PER\nfilm O\nlong I-PER\nso B-PER\n", 1, "1 tags break IOB2"),
    ],
)
def test_what_is_odd_is_counted_and_all_is_measured(
    model: Callable[[str], str],
    tmp_path: Path,
    capsys,
    kind: str,
    name: str,
    content: str | list[dict[str, Any]],
    examples: int,
    warning: str,
):
    path, report = _write(tmp_path / name, content), tmp_path / "report.html"
    assert run(["evaluate", model(kind), "--data", path, "--report", str(report), "--json"]) == 0
    printed = capsys.readouterr()
    assert warning in printed.err
    assert json.loads(printed.out)["examples"] == examples
    assert warning.split("(", maxsplit=1)[0] in report.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["classification", "span-extraction", "tagging"])
def test_a_text_of_a_hundred_thousand_characters_gets_its_prediction(
    model: Callable[[str], str], tmp_path: Path, capsys, kind: str
):
    line = f"what\t{LONG}" if kind == "span-extraction" else LONG
    path = _write(tmp_path / "in.txt", f"{line}\n")
    assert run(["predict", model(kind), "--input", path, "--output", str(tmp_path / "out.jsonl")]) == 0
    record = json.loads((tmp_path / "out.jsonl").read_text())
    if kind == "tagging":
        assert len(record["words"]) == len(record["tags"]) == len(line.split())


@pytest.mark.parametrize("kind", TASKS)
def test_ten_rows_are_enough(tiny_model: Path, tmp_path: Path, kind: str):
    name, records = TEN[kind]
    out = tmp_path / "run"
    options = ["--epochs", "1", "--max-length", "12", "--out", str(out)]
    path = _write(tmp_path / name, records)
    assert run(["finetune", str(tiny_model), "--kind", kind, "--train", path, *options]) == 0
    assert "(1 of 10 training examples held out)" in (out / "report.html").read_text(encoding="utf-8")
