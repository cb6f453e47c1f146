import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bertkit
from bertkit.cli.main import USER_ERROR, run
from bertkit.pretrained.folder import ModelFolder
from bertkit.recipes.finetune import finetune
from bertkit.recipes.options import FinetuneOptions
from bertkit.tasks.choice import MultipleChoice
from bertkit.tasks.data import read_task_data
from bertkit.tasks.multi_label import MultiLabel
from bertkit.tasks.options import TaskOptions
from bertkit.tasks.predictions import AnswerPrediction
from bertkit.tasks.questions.task import SpanExtraction
from bertkit.tasks.tagging.task import Tagging
from bertkit.tasks.task_folder import load_task

GOOD, BAD = ("good", "fine", "great"), ("bad", "poor", "weak")
OPTIONS = FinetuneOptions(
    epochs=10,
    batch_size=8,
    learning_rate=5e-3,
    max_length=16,
    hidden_dropout=0.0,
    attention_dropout=0.0,
    precision="float32",
    micro_batch_tokens=48,
)


def _choice_file(path: Path, count: int) -> Path:
    """The right choice has the good adjective; there are two to four choices."""
    rows = []
    for index in range(count):
        choices = [f"a {BAD[(index + place) % 3]} film" for place in range(1 + index % 3)]
        right = index % (len(choices) + 1)
        choices.insert(right, f"a {GOOD[index % 3]} film")
        rows.append({"question": "the plot", "choices": choices, "label": right})
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_the_right_of_any_number_of_choices_is_learnt(tmp_path: Path, tiny_model: Path):
    train, dev = _choice_file(tmp_path / "train.jsonl", 36), _choice_file(tmp_path / "dev.jsonl", 12)
    result = finetune(tiny_model, read_task_data(train, dev, family=MultipleChoice), tmp_path / "run", OPTIONS)
    assert result.best.dev["accuracy"] > 0.9
    model = bertkit.load(result.model)
    answer = model.predict(("the plot", ["a bad film", "a weak film", "a great film", "a poor film", "a bad film"]))
    assert (answer.choice, answer.place) == ("a great film", 2)
    assert sum(answer.probabilities) == pytest.approx(1)
    several = model.predict([("the plot", ["a good film", "a bad film"]), ("the plot", ["a bad film"] * 2)])
    assert [one.place for one in several] == [0, 0]


def test_the_command_line_goes_from_swags_columns_to_choices(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
):
    header = ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3,label\n"
    row = '0,,,x,the plot,a,,good film,bad film,"weak film, so long",poor film,0\n'
    for name in ("train.csv", "val.csv"):
        (tmp_path / name).write_text(header + row * 8)
    out = tmp_path / "run"
    options = ["--epochs", "1", "--max-length", "16", "--json", "--out", str(out)]
    assert run(["finetune", str(tiny_model), "--task", "swag", "--data", str(tmp_path), *options]) == 0
    figures = json.loads(capsys.readouterr().out)["seeds"][0]["dev"]
    model = str(out / "model")
    assert run(["evaluate", model, "--data", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"examples": 8, **{k: pytest.approx(v) for k, v in figures.items()}}
    assert run(["predict", model, "--input", str(tmp_path / "val.csv"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out.splitlines()[0])
    assert record["choices"][2] == "a weak film, so long"
    assert {"question", "choices", "choice", "place", "probabilities"} == set(record)
    assert run(["predict", model, "the plot\ta good film\ta bad film"]) == 0
    assert capsys.readouterr().out.startswith("a ")
    assert run(["predict", model, "the plot\ta good film"]) == USER_ERROR
    assert "give at least 2" in capsys.readouterr().err


def test_choices_may_be_in_columns_of_any_name(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "own.csv"
    path.write_text("q,one,two,three,answer\n" + "the plot,good,bad,,A\nthe plot,bad,weak,fine,C\n" * 10)
    columns = ["--kind", "multiple-choice", "--text", "q", "--choices", "one", "--choices", "two", "--choices", "three"]
    options = ["--label", "answer", "--epochs", "1", "--max-length", "16", "--out", str(tmp_path / "run")]
    assert run(["finetune", str(tiny_model), "--train", str(path), *columns, *options]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(tmp_path / "run/model"), "--data", str(path)]) == 0
    assert capsys.readouterr().out.startswith("examples: 20\naccuracy: ")
    path.write_text("q,one,two,three\nthe plot,good,bad,\n")
    assert run(["evaluate", str(tmp_path / "run/model"), "--data", str(path)]) == USER_ERROR
    assert "no column 'answer'" in capsys.readouterr().err


WORDS = ("good", "fine", "great", "bad", "poor", "weak")
QUESTION_OPTIONS = FinetuneOptions(
    epochs=10,
    batch_size=8,
    learning_rate=5e-3,
    max_length=16,
    hidden_dropout=0.0,
    attention_dropout=0.0,
    precision="float32",
)


def _question_file(path: Path, count: int, *, impossible: bool = False, **changes: Any) -> Path:
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
    train, dev = (
        _question_file(tmp_path / "train.json", 24),
        _question_file(tmp_path / "dev.json", 12),
    )
    data = read_task_data(train, dev, family=SpanExtraction, options=TaskOptions(doc_stride=4))
    result = finetune(tiny_model, data, tmp_path / "run", replace(QUESTION_OPTIONS, select_by="joint_f1"))
    assert result.best.dev["exact"] > 0.9
    assert result.best.dev["joint_exact"] > 0.9
    model = bertkit.load(result.model)
    context = "The  plot was  a   Great film"
    answer = model.predict(("what film", context))
    assert answer.answer == "Great"
    assert context[answer.start : answer.end] == "Great"
    beside = model.predict([("what film", context), ("what film", "a bad film")])[0]
    # Products of other shapes round otherwise on some CPUs: probabilities are equal to that, all else exactly.
    assert _without_probabilities(beside) == _without_probabilities(answer)
    for one, other in zip((beside, *beside.n_best), (answer, *answer.n_best), strict=True):
        assert one.probability == pytest.approx(other.probability, rel=1e-6)


def test_no_answer_is_learnt_and_its_threshold_is_kept(tmp_path: Path, tiny_model: Path):
    train = _question_file(tmp_path / "train.json", 24, impossible=True)
    dev = _question_file(tmp_path / "dev.json", 12, impossible=True)
    result = finetune(tiny_model, read_task_data(train, dev, family=SpanExtraction), tmp_path / "run", QUESTION_OPTIONS)
    assert result.best.dev["unanswerable_accuracy"] > 0.8
    assert result.best.dev["answerable_exact"] > 0.8
    task = load_task(ModelFolder.open(result.model))
    assert isinstance(task, SpanExtraction)
    assert task.impossible
    assert task.threshold is not None
    assert task.joint_threshold is not None
    assert bertkit.load(result.model).predict(("what film", "a film")).answer == ""


@pytest.fixture
def fine_tuned(tmp_path: Path, tiny_model: Path) -> Path:
    train = str(_question_file(tmp_path / "train-v1.1.json", 12))
    _question_file(tmp_path / "dev-v1.1.json", 6)
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


def test_questions_may_be_in_columns_of_any_name(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]):
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


TAG_OPTIONS = FinetuneOptions(
    epochs=14,
    batch_size=8,
    learning_rate=1e-2,
    max_length=16,
    hidden_dropout=0.0,
    attention_dropout=0.0,
    precision="float32",
)


def _tag_file(path: Path, count: int) -> Path:
    """Films are things of two words, in IOB1."""
    lines = ["-DOCSTART- O"]
    for index in range(count):
        lines += ["", "the O", "plot O", f"{WORDS[index % 6]} I-THING", "film I-THING"][: 5 - index % 2]
        lines += ["so O", "long O"] * (index % 3)
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("context", ["sentence", "document"])
def test_entities_are_learnt_and_found_in_raw_text(tmp_path: Path, tiny_model: Path, context):
    train, dev = _tag_file(tmp_path / "a.train", 24), _tag_file(tmp_path / "a.dev", 12)
    data = read_task_data(train, dev, family=Tagging, options=TaskOptions(context=context))
    result = finetune(tiny_model, data, tmp_path / "run", TAG_OPTIONS)
    assert result.select_by == "f1"
    assert result.best.dev["f1"] > 0.9
    text = "the plot  Great   film so long"
    prediction = bertkit.load(result.model).predict(text)
    assert [(entity.label, entity.text) for entity in prediction.entities] == [("THING", "Great   film")]
    assert text[prediction.entities[0].start : prediction.entities[0].end] == "Great   film"
    assert [len(one.words) for one in bertkit.load(result.model).predict([text, "the plot", ["so", "long"]])] == [
        6,
        2,
        2,
    ]


def test_the_command_line_goes_from_column_files_to_entities(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
):
    content = _tag_file(tmp_path / "eng.train", 12).read_text().replace(" ", " X X ")
    for name in ("eng.train", "eng.testa", "eng.testb"):
        (tmp_path / name).write_text(content)
    out = tmp_path / "run"
    options = ["--context", "document", "--epochs", "1", "--max-length", "16", "--json", "--out", str(out)]
    assert run(["finetune", str(tiny_model), "--task", "conll2003", "--data", str(tmp_path), *options]) == 0
    figures = json.loads(capsys.readouterr().out)["seeds"][0]["test"]
    model = str(out / "model")
    assert run(["evaluate", model, "--data", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"examples": 12, **{k: pytest.approx(v) for k, v in figures.items()}}
    assert run(["predict", model, "--input", str(tmp_path / "eng.testb"), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(records) == 12
    assert {"text", "words", "tags", "probabilities", "entities"} == set(records[0])
    (tmp_path / "raw.txt").write_text("the plot\ngood film\n")
    assert run(["predict", model, "--input", str(tmp_path / "raw.txt")]) == 0
    assert [line.split("\t")[-1] for line in capsys.readouterr().out.splitlines()] == ["the plot", "good film"]


def test_tags_are_read_from_spans_and_broken_ones_are_counted(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
):
    rows = [{"text": f"a {word} film.", "spans": [{"start": 2, "end": 2 + len(word), "label": "X"}]} for word in WORDS]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "dev.conll").write_text("a O\ngood B-X\nfilm O\n\na B-NEW\nbad I-X\nfilm O\n\na B-X\n")
    files = ["--kind", "tagging", "--train", str(tmp_path / "own.jsonl"), "--dev", str(tmp_path / "dev.conll")]
    options = ["--epochs", "1", "--max-length", "16", "--out", str(tmp_path / "run")]
    assert run(["finetune", str(tiny_model), *files, *options]) == 0
    error = capsys.readouterr().err
    assert "dev: 1 tags break IOB2" in error
    assert "dev: 1 words have tags that training lacks (B-NEW)" in error
    (tmp_path / "words.conll").write_text("a\ngood\n")
    model = str(tmp_path / "run/model")
    assert run(["evaluate", model, "--data", str(tmp_path / "words.conll")]) == USER_ERROR
    error = capsys.readouterr().err
    assert "use bertkit predict" in error
    assert error.count("\n") == 1
    assert run(["predict", model, "--input", str(tmp_path / "words.conll")]) == 0


def _label_file(path: Path, count: int) -> Path:
    """A film may be good, long, both or neither."""
    rows = []
    for index in range(count):
        is_good, is_long = index % 2 == 0, index % 3 == 0
        text = f"a {(GOOD if is_good else BAD)[index % 3]} film{' was so long' if is_long else ''}"
        rows.append({"text": text, "label": ["good"] * is_good + ["long"] * is_long})
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_several_labels_are_learnt_held_out_and_their_thresholds_kept(tmp_path: Path, tiny_model: Path):
    train = _label_file(tmp_path / "train.jsonl", 60)
    data = read_task_data(train, test=_label_file(tmp_path / "test.jsonl", 12), family=MultiLabel)
    result = finetune(tiny_model, data, tmp_path / "run", replace(OPTIONS, seeds=2, epochs=16, dev_share=0.3))
    assert result.select_by == "average_precision"
    assert result.best.test["average_precision"] > 0.95
    assert result.best.test["micro_f1"] > 0.8
    assert not result.failed
    task = load_task(ModelFolder.open(result.model))
    assert isinstance(task, MultiLabel)
    assert task.thresholds is not None
    both, neither = bertkit.load(result.model).predict(["a great film was so long", "a bad film"])
    assert (set(both.labels), neither.labels) == ({"good", "long"}, ())


def test_the_command_line_goes_from_columns_of_0_and_1_to_labels(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
):
    rows = ["a good film,1,0", "a bad film,0,0", "a good film was so long,1,1", "the plot was so long,0,1"] * 6
    path, out = tmp_path / "own.csv", tmp_path / "run"
    path.write_text("\n".join(["text,good,long", *rows]))
    kind = ["--kind", "multi-label", "--train", str(path), "--dev", str(path), "--label", "good,long"]
    options = ["--epochs", "1", "--max-length", "5", "--json", "--out", str(out)]
    assert run(["finetune", str(tiny_model), *kind, *options]) == 0
    captured = capsys.readouterr()
    assert "12 of 24 texts are longer than max_length 5" in captured.err
    figures = json.loads(captured.out)["seeds"][0]["dev"]
    assert {"average_precision", "micro_f1", "macro_f1", "subset_accuracy", "loss"} == set(figures)
    model = str(out / "model")
    assert "multi_label_classification" in (out / "model/config.json").read_text()
    assert "micro_f1" in (out / "model/README.md").read_text()
    assert run(["evaluate", model, "--data", str(path), "--json", "--report", str(tmp_path / "page.html")]) == 0
    assert json.loads(capsys.readouterr().out) == {"examples": 24, **{k: pytest.approx(v) for k, v in figures.items()}}
    assert "By label" in (tmp_path / "page.html").read_text()
    assert run(["predict", model, "--input", str(path), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(records) == 24
    assert {"text", "labels", "probabilities"} == set(records[0])
    assert list(records[0]["probabilities"]) == ["good", "long"]
    assert run(["predict", model, "--input", str(path), "--output", str(tmp_path / "said.csv")]) == 0
    head = (tmp_path / "said.csv").read_text().splitlines()[0]
    assert head == "text,labels,probability_good,probability_long"
    assert run(["predict", model, "a good film"]) == 0
    (tmp_path / "other.jsonl").write_text('{"text": "a film", "label": ["sad"]}')
    capsys.readouterr()
    assert run(["evaluate", model, "--data", str(tmp_path / "other.jsonl"), "--label", "label"]) == USER_ERROR
    error = capsys.readouterr().err
    assert "label 'sad' is unknown; training has 'good', 'long'" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("options", [["--label-smoothing", "0.1"], ["--class-weights", "balanced"]])
def test_several_labels_have_no_smoothing_and_no_class_weights(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str], options: list[str]
):
    path = _label_file(tmp_path / "train.jsonl", 30)
    arguments = ["--kind", "multi-label", "--train", str(path), "--out", str(tmp_path / "run"), *options]
    assert run(["finetune", str(tiny_model), *arguments]) == USER_ERROR
    assert "has no meaning for multi-label: leave it out" in capsys.readouterr().err
