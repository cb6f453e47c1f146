"""What a program gets from `import bertkit`."""

import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import bertkit

WORDS = ["the", "quiet", "river", "runs", "over", "old", "green", "stones", "and", "a", "small", "boat", "waits"]


@pytest.mark.parametrize("name", bertkit.__all__)
def test_every_public_name_is_there_and_described(name: str):
    value = getattr(bertkit, name)
    assert name in dir(bertkit)
    assert name.isupper() or (value.__doc__ or "").strip()
    if is_dataclass(value) and isinstance(value, type):  # Python writes a signature where nobody has written a sentence
        assert not value.__doc__.startswith(f"{value.__name__}(")
        assert fields(value)


def test_a_star_brings_every_public_name_and_nothing_else():
    found: dict[str, object] = {}
    exec("from bertkit import *", found)
    assert set(found) - {"__builtins__"} == set(bertkit.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'bertkit' has no attribute 'pretend'"):
        _ = bertkit.pretend


def test_the_table_of_homes_names_where_each_is_defined():
    for name, home in bertkit._HOMES.items():
        value = getattr(bertkit, name)
        if isinstance(value, type) or callable(value):
            assert value.__module__ == home


def test_a_size_that_is_not_there_is_an_input_error():
    with pytest.raises(bertkit.InputError, match="size 'tinny' is unknown: use one of tiny, mini"):
        bertkit.pretrain_options("tinny", steps=3)


def test_importing_brings_neither_torch_nor_the_command_line():
    script = "import bertkit, sys; print([name for name in ('torch', 'numpy', 'cyclopts') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout == "[]\n"


def _text(sentences: int) -> str:
    """Documents of four sentences, in which words follow one another by a rule."""
    lines = (" ".join(WORDS[(start * 5 + place) % len(WORDS)] for place in range(8)) for start in range(sentences))
    return "\n".join(f"{line}.\n" if number % 4 == 3 else f"{line}." for number, line in enumerate(lines))


def test_from_raw_text_to_predictions_in_python_alone(tmp_path: Path):
    (tmp_path / "corpus.txt").write_text(_text(160))
    tokenizer = bertkit.train_tokenizer(tmp_path / "corpus.txt", tmp_path / "tokenizer", size=60)
    assert (tmp_path / "tokenizer/vocab.txt").is_file()

    manifest = bertkit.prepare(tmp_path / "corpus.txt", tokenizer, tmp_path / "data", bertkit.PrepareOptions(workers=1))
    assert manifest.documents == 40
    assert bertkit.prepare(tmp_path / "corpus.txt", tmp_path / "tokenizer", tmp_path / "again") == manifest
    examined = bertkit.examine_corpus(tmp_path / "data", report=tmp_path / "corpus.html")
    assert examined.figures.documents == 40
    assert (tmp_path / "corpus.html").is_file()

    options = bertkit.pretrain_options(
        "tiny", recipe="budget", steps=3, seq_length=32, batch_size=8, ramp_from=None, log_every=1, held_out_share=0.1
    )
    assert "MiB in all" in bertkit.describe_run(tmp_path / "data", options)
    pretrained = bertkit.pretrain(str(tmp_path / "data"), tmp_path / "pretraining", options)
    assert pretrained.report == tmp_path / "pretraining/report.html"
    assert pretrained.report.is_file()
    assert pretrained.evaluation
    assert len(bertkit.load(pretrained.model).fill_mask("the quiet [MASK] runs", top_k=3)[0]) == 3

    table = tmp_path / "table.csv"
    table.write_text("said,mood\n" + "the quiet boat waits,calm\nthe old river runs,wild\n" * 12)
    columns = bertkit.TableOptions(text="said", label="mood")
    data = bertkit.read_tables(table, kind="classification", table=columns, metrics=("accuracy",))
    finetune_options = bertkit.FinetuneOptions(epochs=1, max_length=16, batch_size=8, parallel_seeds=1)
    tuned = bertkit.finetune(pretrained.model, data, tmp_path / "tuned", finetune_options)
    assert tuned.report == tmp_path / "tuned/report.html"
    assert tuned.report.is_file()
    assert set(tuned.best.dev) >= {"accuracy"}

    found = bertkit.evaluate(tuned.model, table, table=columns, report=tmp_path / "evaluation.html")
    assert set(found.figures) >= {"accuracy", "loss"}
    assert (tmp_path / "evaluation.html").is_file()
    prediction = bertkit.load(tuned.model).predict("the quiet boat waits")
    assert prediction.label in ("calm", "wild")


def test_a_grid_in_python_writes_its_report(tmp_path: Path, tiny_model: Path):
    table = tmp_path / "table.tsv"
    table.write_text("text\tlabel\n" + "a good film\tup\na bad film\tdown\n" * 12)
    grid = bertkit.GridOptions(batch_sizes=(8,), learning_rates=(1e-3, 1e-4), epochs=(1,), restarts=1)
    found = bertkit.finetune(
        tiny_model, bertkit.read_tables(table), tmp_path / "out", bertkit.FinetuneOptions(max_length=16), grid=grid
    )
    assert len(found.settings) == 2
    assert found.best.report == tmp_path / "out/report.html"
    assert found.best.report.is_file()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bertkit.pretrain_options(recipe="best", steps=1), "recipe 'best' is unknown: use one of bert"),
        (lambda: bertkit.pretrain_options(steps=1, sequence_length=9), "no option sequence_length"),
        (lambda: bertkit.pretrain_options("tiny"), "give one of them"),
        (lambda: bertkit.read_tables("a.csv", kind="magic"), "kind 'magic' is unknown: use one of classification"),
        (lambda: bertkit.evaluate("model", "data.csv", report="page.pdf"), "must end in .html"),
        (lambda: bertkit.prepare([], bertkit.Tokenizer.train(WORDS, 60), "out"), "no text is given"),
    ],
)
def test_a_wrong_value_names_its_remedy(call, message: str):
    with pytest.raises(bertkit.InputError, match=message):
        call()
