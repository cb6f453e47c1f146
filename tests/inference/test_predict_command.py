"""`bertkit predict` from tables and files of every family, into files and onto a terminal."""

import csv
import io
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertkit.cli.main import run
from bertkit.cli.outputs import Highlighted, Predicted
from bertkit.data.readers import tables as table_parts
from bertkit.inference.load import load
from bertkit.model.config import BertConfig
from bertkit.model.initialization import initialize
from bertkit.tasks.choice import MultipleChoice
from bertkit.tasks.contract import Task
from bertkit.tasks.model import new_task_model, save_task_model
from bertkit.tasks.predictions import AnswerPrediction, ClassPrediction, EntitySpan, TagsPrediction
from bertkit.tasks.questions.task import SpanExtraction
from bertkit.tasks.tagging.task import Tagging
from bertkit.text.tokenizer import Tokenizer

TASKS: dict[str, Task[Any]] = {
    "questions": SpanExtraction(max_length=24, doc_stride=4, columns=SpanExtraction.usual_columns),
    "choices": MultipleChoice(max_length=24, columns=MultipleChoice.usual_columns),
    "tags": Tagging(classes=("O", "B-PER", "I-PER"), max_length=8, columns=Tagging.usual_columns),
}


@pytest.fixture(scope="module")
def folder(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=24,
    )
    folders: dict[str, str] = {}
    for name, task in TASKS.items():
        model = new_task_model(task, config)
        initialize(model, 0.3, seed=5)
        folders[name] = str(tmp_path_factory.mktemp(name))
        save_task_model(Path(folders[name]), model, task, tokenizer)
    return folders.__getitem__


def _jsonl(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def _table(path: Path, **format: Any) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, **format))


def test_ids_stay_with_their_texts_in_every_format(classifier: Path, tmp_path: Path, capsys):
    table = tmp_path / "in.csv"
    table.write_text('key,text\nx 1,"the cat, ""a"" dog"\nx 2,"sat\non a mat"\nx 1,ran\n')
    expected = load(classifier).predict(['the cat, "a" dog', "sat\non a mat", "ran"])
    for name in ("out.jsonl", "out.csv", "out.tsv"):
        out = ["--output", str(tmp_path / name)]
        assert run(["predict", str(classifier), "--input", str(table), "--id", "key", *out]) == 0
        assert "texts with the id of an earlier text: 1 (the first: text 3); all are written" in capsys.readouterr().err
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    rows = _table(tmp_path / "out.csv")
    tabs = _table(tmp_path / "out.tsv", delimiter="\t", quoting=csv.QUOTE_NONE)
    for found in (records, rows, tabs):
        assert [one["id"] for one in found] == ["x 1", "x 2", "x 1"]
        assert [one["label"] for one in found] == [one.label for one in expected]
    assert list(rows[0]) == [
        "id",
        "text",
        "label",
        "probability",
        *(f"probability_{c}" for c in ("bad", "fair", "good")),
    ]
    assert [one["text"] for one in rows] == ['the cat, "a" dog', "sat\non a mat", "ran"]
    assert [one["text"] for one in tabs] == ['the cat, "a" dog', "sat on a mat", "ran"]
    for one, row, prediction in zip(records, rows, expected, strict=True):
        assert one["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-5)
        assert float(row["probability_bad"]) == pytest.approx(prediction.probabilities["bad"], abs=1e-5)


def test_ids_may_be_what_json_has_no_type_for(classifier: Path, tmp_path: Path):
    table = pa.table({"day": [date(2026, 1, 2)], "text": ["the cat"]})
    pq.write_table(table, tmp_path / "in.parquet")
    arguments = ["predict", str(classifier), "--input", str(tmp_path / "in.parquet"), "--id", "day"]
    assert run([*arguments, "--output", str(tmp_path / "out.jsonl")]) == 0
    assert json.loads((tmp_path / "out.jsonl").read_text())["id"] == "2026-01-02"


def test_a_long_table_is_read_in_parts_and_gives_the_same(
    folder: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    records = [{"id": n, "question": "the cat", "context": f"a dog {'ran ' * n}far"} for n in range(7)]
    arguments = ["predict", folder("questions"), "--input", _jsonl(tmp_path / "in.jsonl", *records), "--id", "id"]
    assert run([*arguments, "--output", str(tmp_path / "whole.jsonl")]) == 0
    monkeypatch.setattr(table_parts, "_MAX_ROWS", 2)
    assert run([*arguments, "--output", str(tmp_path / "parts.jsonl")]) == 0
    assert "id of an earlier text" not in capsys.readouterr().err
    whole, parts = (
        [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for name in ("whole", "parts")
    )
    assert [one["id"] for one in parts] == list(range(7))
    assert [one["answer"] for one in parts] == [one["answer"] for one in whole]


def test_squad_files_keep_their_ids_and_answers_their_places(folder: Callable[[str], str], tmp_path: Path):
    context = "A  Cat sat on the mat"
    path = tmp_path / "in.json"
    asked = [{"id": "q-7", "question": "the dog"}]
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": context, "qas": asked}]}]}))
    assert run(["predict", folder("questions"), "--input", str(path), "--output", str(tmp_path / "out.csv")]) == 0
    (row,) = _table(tmp_path / "out.csv")
    assert row["id"] == "q-7"
    assert row["answer"] == context[int(row["start"]) : int(row["end"])] != ""


def test_choices_and_entities_are_json_in_a_table(folder: Callable[[str], str], tmp_path: Path):
    source = _jsonl(tmp_path / "in.jsonl", {"question": "the", "choices": ["cat", "dog", "mat"]})
    assert run(["predict", folder("choices"), "--input", source, "--output", str(tmp_path / "out.csv")]) == 0
    (row,) = _table(tmp_path / "out.csv")
    chances = json.loads(row["probabilities"])
    assert chances[int(row["place"])] == pytest.approx(float(row["probability"]), abs=1e-5)
    assert sum(chances) == pytest.approx(1, abs=1e-5)

    text = "the cat sat on a mat and the dog ran far"  # more than the model reads at once
    source = _jsonl(tmp_path / "in.jsonl", {"text": text})
    assert run(["predict", folder("tags"), "--input", source, "--output", str(tmp_path / "tags.csv")]) == 0
    (row,) = _table(tmp_path / "tags.csv")
    assert json.loads(row["words"]) == text.split()
    assert len(json.loads(row["probabilities"])) == len(text.split())
    for one in json.loads(row["entities"]):
        assert text[one["start"] : one["end"]] == one["text"]


def test_column_files_are_words(folder: Callable[[str], str], tmp_path: Path):
    (tmp_path / "in.conll").write_text("the\ncat\n\na\ndog\n")
    out = tmp_path / "out.jsonl"
    assert run(["predict", folder("tags"), "--input", str(tmp_path / "in.conll"), "--output", str(out)]) == 0
    assert [json.loads(line)["words"] for line in out.read_text().splitlines()] == [["the", "cat"], ["a", "dog"]]


def test_rows_without_a_text_are_counted_and_get_their_prediction(classifier: Path, tmp_path: Path, capsys):
    (tmp_path / "in.csv").write_text("key,text\n1,the cat\n2,\n3\n")
    out = tmp_path / "out.csv"
    arguments = ["predict", str(classifier), "--input", str(tmp_path / "in.csv"), "--id", "key", "--output", str(out)]
    assert run(arguments) == 0
    assert [row["id"] for row in _table(out)] == ["1", "2", "3"]
    assert "2 of 3 rows lack a field or a text and are read with an empty one" in capsys.readouterr().err


def test_texts_that_are_cut_are_counted(classifier: Path, capsys):
    assert run(["predict", str(classifier), "the cat " * 7, "the cat " * 8]) == 0
    error = capsys.readouterr().err
    assert "1 of 2 texts are longer than max_length 16: their ends are not read (the first: text 1)" in error


@pytest.mark.parametrize(
    ("name", "content", "arguments", "words"),
    [
        ("in.csv", "text\nthe\n", ["--id", "key"], "has no column 'key'"),
        ("in.txt", "the\n", ["--id", "key"], "has one text per line and no columns: leave --id out"),
        ("in.jsonl", '{"text": 3}\n', [], "holds 3 and no text"),
        ("in.csv", "", [], "column"),
        ("in.txt", "", [], "has no text"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    classifier: Path, tmp_path: Path, capsys, name: str, content: str, arguments: list[str], words: str
):
    (tmp_path / name).write_text(content)
    out = tmp_path / "out" / "out.csv"
    assert run(["predict", str(classifier), "--input", str(tmp_path / name), *arguments, "--output", str(out)]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


def test_a_terminal_shows_what_is_said_in_its_text():
    file = io.StringIO()
    writer = Highlighted(file)
    writer.write(Predicted({"text": "fine"}, "fine", ClassPrediction("good", {"good": 0.75, "bad": 0.25})))
    context = f"{'x' * 900} a [b] cat\nsat {'y' * 900}"
    answer = AnswerPrediction("cat", 907, 910, 0.5, ())
    writer.write(Predicted({"id": "7", "question": "who?"}, context, answer))
    writer.write(Predicted({"id": "8", "question": "why?"}, context, AnswerPrediction("", None, None, 0.9, ())))
    entities = (EntitySpan("PER", "Ann", 0, 3, 0.9), EntitySpan("LOC", "Rome", 9, 13, 0.8))
    tags = TagsPrediction(("Ann", "left", "Rome"), ("B-PER", "O", "B-LOC"), (0.9, 0.9, 0.8), entities)
    writer.write(Predicted({"text": "Ann left Rome."}, "Ann left Rome.", tags))
    lines = file.getvalue().splitlines()
    assert lines[0] == "good  0.7500  fine"
    assert lines[1] == "7  who?  0.5000"
    assert lines[2].startswith("… xxx") and "a [b] cat sat yyy" in lines[2] and lines[2].endswith("yyy …")
    assert len(lines[2]) < 450
    assert lines[3] == "nothing  0.9000  8  why?"
    assert lines[4] == "Ann PER left Rome LOC."


def test_formulas_of_spreadsheets_are_escaped_on_request(folder, tmp_path):
    texts = ['=HYPERLINK("a")', "+1", "-1", "@a", " =1", "＝1", "a=1"]
    given = tmp_path / "in.txt"
    given.write_text("".join(f"{text}\n" for text in texts))
    for name, escape in (("a.csv", []), ("b.csv", ["--escape-formulas"]), ("b.tsv", ["--escape-formulas"])):
        command = ["predict", folder("tags"), "--input", str(given), "--output", str(tmp_path / name)]
        assert run([*command, *escape]) == 0
    assert [row["text"] for row in _table(tmp_path / "a.csv")] == texts
    escaped = [f"'{text}" for text in texts[:-1]] + texts[-1:]
    assert [row["text"] for row in _table(tmp_path / "b.csv")] == escaped
    assert [row["text"] for row in _table(tmp_path / "b.tsv", delimiter="\t")] == escaped


def test_formulas_are_escaped_in_tables_alone(folder, tmp_path, capsys):
    for output in ([], ["--output", str(tmp_path / "a.jsonl")]):
        assert run(["predict", folder("tags"), "a", *output, "--escape-formulas"]) == 2
        assert "give --output FILE.csv" in capsys.readouterr().err


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_text_does_not_control_the_terminal(folder, options, monkeypatch):
    monkeypatch.setattr("sys.stdout", terminal := _Terminal())
    assert run(["predict", folder("tags"), "x \x1b]0;t\x07\x9b2J\u202e y", *options]) == 0
    shown = terminal.getvalue()
    assert not any(control in shown for control in ("\x1b]", "\x07", "\x9b", "\u202e"))
    assert "u202e" in shown


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_output_that_is_not_utf8_gets_escapes(folder, encoding, options, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", stream := io.TextIOWrapper(raw, encoding))
    assert run(["predict", folder("tags"), "caf\u00e9 Łódź 😀", *options]) == 0
    stream.flush()
    line = raw.getvalue().decode(encoding)
    if options:
        assert json.loads(line)["text"] == "café Łódź 😀"
    else:
        assert "caf" in line
