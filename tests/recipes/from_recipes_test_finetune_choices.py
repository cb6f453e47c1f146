import json
from pathlib import Path

import pytest

import bertkit
from bertkit.cli.main import USER_ERROR, run
from bertkit.recipes.finetune import finetune
from bertkit.recipes.finetune_options import FinetuneOptions
from bertkit.tasks.multiple_choice import MultipleChoice
from bertkit.tasks.task_data import read_task_data

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


def _file(path: Path, count: int) -> Path:
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
    train, dev = _file(tmp_path / "train.jsonl", 36), _file(tmp_path / "dev.jsonl", 12)
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


def test_ones_own_columns_of_choices(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]):
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
