import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bertkit
from bertkit.cli.main import USER_ERROR, run
from bertkit.recipes.finetune import finetune
from bertkit.recipes.finetune_options import FinetuneOptions
from bertkit.tasks.folder import load_task
from bertkit.tasks.prediction import AnswerPrediction
from bertkit.tasks.span_extraction import SpanExtraction
from bertkit.tasks.task_data import read_task_data
from bertkit.tasks.task_options import TaskOptions

WORDS = ("good", "fine", "great", "bad", "poor", "weak")
OPTIONS = FinetuneOptions(
    epochs=10,
    batch_size=8,
    learning_rate=5e-3,
    max_length=16,
    hidden_dropout=0.0,
    attention_dropout=0.0,
    precision="float32",
)


def _file(path: Path, count: int, *, impossible: bool = False, **changes: Any) -> Path:
    """Films whose adjective is the answer; with `impossible` some have none."""
    paragraphs = []
    for index in range(count):
        word = WORDS[index % 6]
        context = f"{'the plot was ' * (index % 4 // 2)}a {word} film{' was so long' * (index % 3 // 2)}"
        answers = [{"text": word, "answer_start": context.find(word)}]
        if impossible and index % 4 == 0:
            context, answers = context.replace(f"{word} ", ""), []
        qas = [{"id": f"{path.stem}-{index}", "question": "what film", "answers": answers, **changes}]
        paragraphs.append({"context": context, "qas": qas})
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    return path


def _without_probabilities(answer: AnswerPrediction) -> AnswerPrediction:
    spans = tuple(replace(span, probability=0.0) for span in answer.n_best)
    return replace(answer, probability=0.0, n_best=spans)


def test_answers_are_learnt_over_windows_and_given_in_the_context_own_characters(tmp_path: Path, tiny_model: Path):
    train, dev = _file(tmp_path / "train.json", 24), _file(tmp_path / "dev.json", 12)
    data = read_task_data(train, dev, family=SpanExtraction, options=TaskOptions(doc_stride=4))
    result = finetune(tiny_model, data, tmp_path / "run", replace(OPTIONS, select_by="joint_f1"))
    assert result.best.dev["exact"] > 0.9
    assert result.best.dev["joint_exact"] > 0.9
    model = bertkit.load(result.model)
    context = "The  plot was  a   Great film"
    answer = model.predict(("what film", context))
    assert answer.answer == "Great"
    assert context[answer.start : answer.end] == "Great"
    beside = model.predict([("what film", context), ("what film", "a bad film")])[0]
    # Products of other shapes round otherwise on some processors: probabilities are equal to that, all else exactly.
    assert _without_probabilities(beside) == _without_probabilities(answer)
    for one, other in zip((beside, *beside.n_best), (answer, *answer.n_best), strict=True):
        assert one.probability == pytest.approx(other.probability, rel=1e-6)


def test_no_answer_is_learnt_and_its_threshold_is_kept(tmp_path: Path, tiny_model: Path):
    train = _file(tmp_path / "train.json", 24, impossible=True)
    dev = _file(tmp_path / "dev.json", 12, impossible=True)
    result = finetune(tiny_model, read_task_data(train, dev, family=SpanExtraction), tmp_path / "run", OPTIONS)
    assert result.best.dev["unanswerable_accuracy"] > 0.8
    assert result.best.dev["answerable_exact"] > 0.8
    task = load_task(result.model)
    assert isinstance(task, SpanExtraction)
    assert task.impossible
    assert task.threshold is not None
    assert task.joint_threshold is not None
    assert bertkit.load(result.model).predict(("what film", "a film")).answer == ""


@pytest.fixture
def fine_tuned(tmp_path: Path, tiny_model: Path) -> Path:
    train = str(_file(tmp_path / "train-v1.1.json", 12))
    _file(tmp_path / "dev-v1.1.json", 6)
    options = ["--epochs", "1", "--max-length", "16", "--doc-stride", "4", "--json", "--out", str(tmp_path / "run")]
    assert run(["finetune", str(tiny_model), "--task", "squad-1.1", "--data", str(tmp_path), *options]) == 0
    assert train
    return tmp_path / "run" / "model"


def test_the_command_line_goes_from_files_to_answers(
    fine_tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    dev = json.loads((tmp_path / "run" / "results.json").read_text())["seeds"][0]["dev"]
    capsys.readouterr()
    assert run(["evaluate", str(fine_tuned), "--data", str(tmp_path), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures.pop("examples") == 6
    assert figures == pytest.approx(dev, abs=1e-5)

    unlabelled = tmp_path / "test.json"
    content = json.loads((tmp_path / "dev-v1.1.json").read_text())
    for paragraph in content["data"][0]["paragraphs"]:
        del paragraph["qas"][0]["answers"]
    unlabelled.write_text(json.dumps(content))
    assert run(["evaluate", str(fine_tuned), "--data", str(unlabelled)]) == USER_ERROR
    assert "no answers: give a labelled file; for a file without labels use bertkit predict" in capsys.readouterr().err
    assert run(["predict", str(fine_tuned), "--input", str(unlabelled), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["id"] for record in records] == [f"dev-v1.1-{index}" for index in range(6)]
    assert {"answer", "start", "end", "probability", "n_best"} <= set(records[0])

    assert run(["predict", str(fine_tuned), "what film\ta good film"]) == 0
    assert len(capsys.readouterr().out.rstrip("\n").split("\t")) == 4
    assert run(["predict", str(fine_tuned), "what film"]) == USER_ERROR
    assert "has no tab" in capsys.readouterr().err


def test_ones_own_table_of_questions(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    rows = [{"q": "what film", "text": f"a {word} film", "a": [word]} for word in WORDS * 4]
    rows.append({"q": "what film", "text": "a film", "a": ["nowhere"]})
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    columns = ["--kind", "span-extraction", "--text", "q", "--text-pair", "text", "--label", "a"]
    options = ["--epochs", "1", "--max-length", "16", "--out", str(tmp_path / "run")]
    assert run(["finetune", str(tiny_model), "--train", str(path), *columns, *options]) == 0
    assert "1 answers are not in their context" in capsys.readouterr().err
    assert run(["evaluate", str(tmp_path / "run/model"), "--data", str(path)]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("examples: 25\nf1: ")
    assert "1 answers are not in their context" in captured.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ('{"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "1", "question": "b"}]}]}]}', "has no answers"),
        ('{"data": []}', "has no questions"),
    ],
)
def test_bad_files_are_one_line_and_leave_nothing(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
):
    path = tmp_path / "bad.json"
    path.write_text(content)
    arguments = ["--kind", "span-extraction", "--train", str(path), "--out", str(tmp_path / "run")]
    assert run(["finetune", str(tiny_model), *arguments]) == USER_ERROR
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
