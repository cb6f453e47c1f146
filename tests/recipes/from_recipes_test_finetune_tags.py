import json
from pathlib import Path

import pytest

import bertkit
from bertkit.cli.main import USER_ERROR, run
from bertkit.recipes.finetune import finetune
from bertkit.recipes.finetune_options import FinetuneOptions
from bertkit.tasks.tagging import Tagging
from bertkit.tasks.task_data import read_task_data
from bertkit.tasks.task_options import TaskOptions

WORDS = ("good", "fine", "great", "bad", "poor", "weak")
OPTIONS = FinetuneOptions(
    epochs=14,
    batch_size=8,
    learning_rate=1e-2,
    max_length=16,
    hidden_dropout=0.0,
    attention_dropout=0.0,
    precision="float32",
)


def _file(path: Path, count: int) -> Path:
    """Films are things of two words, in IOB1."""
    lines = ["-DOCSTART- O"]
    for index in range(count):
        lines += ["", "the O", "plot O", f"{WORDS[index % 6]} I-THING", "film I-THING"][: 5 - index % 2]
        lines += ["so O", "long O"] * (index % 3)
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("context", ["sentence", "document"])
def test_entities_are_learnt_and_found_in_raw_text(tmp_path: Path, tiny_model: Path, context):
    train, dev = _file(tmp_path / "a.train", 24), _file(tmp_path / "a.dev", 12)
    data = read_task_data(train, dev, family=Tagging, options=TaskOptions(context=context))
    result = finetune(tiny_model, data, tmp_path / "run", OPTIONS)
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
    content = _file(tmp_path / "eng.train", 12).read_text().replace(" ", " X X ")
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


def test_ones_own_spans_and_broken_tags(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]):
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
