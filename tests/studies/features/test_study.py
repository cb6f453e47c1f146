"""`bertkit study features` on tables that a test writes."""

import json
from pathlib import Path

import numpy as np
import pytest

from bertkit.cli.main import run
from bertkit.core.packing import PackedArrays
from bertkit.inference.backends.base import TokenStates
from bertkit.inference.load import load
from bertkit.studies.features import study

GOOD, BAD = ("good", "fine", "great"), ("bad", "poor", "weak")


def _texts(path: Path, count: int) -> Path:
    rows = [
        f"a {(GOOD if number % 2 else BAD)[number % 3]} film,{'good' if number % 2 else 'bad'}"
        for number in range(count)
    ]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


def _sentences(path: Path, count: int) -> Path:
    lines = []
    for number in range(count):
        entity = ("good B-UP", "bad B-DOWN")[number % 2]
        lines += ["the O", entity, "film O", *["long O"] * (number % 3), ""]
    path.write_text("\n".join(lines))
    return path


def _study(model: Path, out: Path, *arguments: str | Path) -> int:
    return run(["study", "features", str(model), "--out", str(out), *map(str, arguments)])


def test_texts_get_a_row_for_every_kind_of_features(tiny_model: Path, tmp_path: Path, capsys):
    train, dev = _texts(tmp_path / "train.csv", 24), _texts(tmp_path / "dev.csv", 12)
    arguments = ["--train", train, "--dev", dev, "--inverse-penalty", "1e4", "--json"]
    assert _study(tiny_model, tmp_path / "run", *arguments) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert "sum-last-four is left out: the model has 2 layers" in printed.err
    assert result["skipped"] == ["sum-last-four", "weighted-last-four", "concat-last-four"]
    assert [(row["pooling"], row["features"]) for row in result["rows"]] == [
        (pooling, name)
        for pooling in ("cls", "mean")
        for name in ("embeddings", "second-to-last", "last", "weighted-all")
    ]
    by_name = {(row["pooling"], row["features"]): row["dev"]["mean"] for row in result["rows"]}
    # [CLS] has the same embedding in every text: no more than the largest class can be told from it.
    assert by_name["cls", "embeddings"] == result["largest_class"]["dev"] == 0.5
    assert by_name["mean", "last"] == 1.0
    assert (tmp_path / "run" / "report.html").is_file()
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == result


def test_cached_vectors_are_those_of_the_encoder(tiny_model: Path, tmp_path: Path):
    train = _texts(tmp_path / "train.csv", 14)
    assert _study(tiny_model, tmp_path / "run", "--train", train, "--dev", train, "--features", "last,embeddings") == 0
    texts = [line.split(",")[0] for line in train.read_text().splitlines()[1:]]
    predictor = load(tiny_model, device="cpu")
    for pooling in ("cls", "mean"):
        for layer in (0, 2):
            found = np.load(tmp_path / "run" / "features" / "train" / f"{pooling}-{layer:02d}.npy")
            np.testing.assert_allclose(found, predictor.features(texts, layer, pooling=pooling), atol=1e-5)


def test_every_seed_holds_out_texts_of_its_own(tiny_model: Path, tmp_path: Path, capsys):
    train = _texts(tmp_path / "train.csv", 50)
    arguments = ["--train", train, "--features", "last", "--train-rows", "40", "--hold-out", "0.25", "--json"]
    arguments += ["--seeds", "3", "--inverse-penalty", "1e4"]
    assert _study(tiny_model, tmp_path / "run", *arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["examples"] == {"train": 30, "dev": 10}
    assert [len(row["seeds"]) for row in result["rows"]] == [3, 3]
    assert result["rows"][1]["dev"] == {"mean": 1.0, "standard_deviation": 0.0}


def test_a_tagger_learns_from_words(tiny_model: Path, tmp_path: Path, capsys):
    train, dev = _sentences(tmp_path / "train.conll", 200), _sentences(tmp_path / "dev.conll", 12)
    arguments = ["--kind", "tagging", "--train", train, "--dev", dev, "--test", dev, "--json", "--features", "last"]
    arguments += ["--seeds", "1", "--width", "12", "--epochs", "4"]
    arguments += ["--learning-rate", "0.03", "--batch-size", "2", "--dropout", "0"]
    assert _study(tiny_model, tmp_path / "run", *arguments) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["pooling"] == "words"
    assert row["dev"]["mean"] == row["test"]["mean"] == 1.0


def test_a_study_of_tags_goes_on_where_it_was_stopped(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    train, dev = _sentences(tmp_path / "train.conll", 12), _sentences(tmp_path / "dev.conll", 6)
    arguments = ["--kind", "tagging", "--train", train, "--dev", dev, "--json", "--seeds", "1", "--width", "4"]
    arguments += ["--features", "last,weighted-all", "--epochs", "1"]
    assert _study(tiny_model, tmp_path / "whole", *arguments) == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole["largest_class"] is None
    assert np.isclose(sum(whole["rows"][1]["seeds"][0]["layer_weights"]), 1)

    write, written = study.write_record, []

    def write_once(path: Path, value: object) -> None:
        if written:
            raise RuntimeError
        written.append(path)
        write(path, value)

    monkeypatch.setattr(study, "write_record", write_once)
    with pytest.raises(RuntimeError):
        _study(tiny_model, tmp_path / "stopped", *arguments)
    monkeypatch.setattr(study, "write_record", write)
    before = written[0].read_text()
    assert _study(tiny_model, tmp_path / "stopped", *arguments) == 0
    stopped = json.loads(capsys.readouterr().out)
    assert written[0].read_text() == before
    for result in (whole, stopped):
        for row in result["rows"]:
            for seed in row["seeds"]:
                del seed["seconds"]
    assert stopped["rows"] == whole["rows"]


def test_words_are_the_first_pieces_in_their_order(tiny_model: Path, tmp_path: Path):
    dev = _sentences(tmp_path / "dev.conll", 5)
    arguments = ["--kind", "tagging", "--train", dev, "--dev", dev, "--features", "last", "--seeds", "1"]
    assert _study(tiny_model, tmp_path / "run", *arguments, "--width", "2", "--epochs", "1") == 0
    predictor = load(tiny_model, device="cpu")
    expected = []
    for sentence in dev.read_text().split("\n\n"):
        words = [line.split()[0] for line in sentence.strip().splitlines()]
        pieces = predictor.model.tokenizer.pieces(words)
        batch = PackedArrays.of([predictor.model.tokenizer.encode(" ".join(words))])
        (states,) = predictor.model.engine.run(batch, TokenStates((2,)))
        expected.append(states[1 + pieces.starts])
    found = np.load(tmp_path / "run" / "features" / "dev" / "words-02.npy")
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, np.concatenate(expected), atol=2e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--train", "train.csv", "--features", "lats"],
            "unknown features 'lats': use embeddings, second-to-last",
        ),
        (["--train", "train.csv", "--features", "sum-last-four"], "has 2 layers, too few for sum-last-four"),
        (["--train", "train.csv", "--train-rows", "1", "--hold-out", "0.5"], "1 training texts are too few"),
        (["--train", "train.csv", "--hold-out", "1.5"], "hold_out must be between 0 and 1"),
        (["--task", "sst-2-sentences"], "belong together"),
        (["--task", "sts-b", "--data", "."], "features are studied on classification and tagging"),
    ],
)
def test_mistakes_are_one_line(tiny_model: Path, tmp_path: Path, monkeypatch, capsys, arguments: list[str], words: str):
    monkeypatch.chdir(tmp_path)
    _texts(tmp_path / "train.csv", 6)
    header = "\t".join(["index", "sentence1", "sentence2", "score"])
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / name).write_text(f"{header}\n0\ta film\tthe film\t3.5\n")
    assert _study(tiny_model, tmp_path / "run", *arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("bertkit: error: ")]
    assert len(lines) == 1
    assert words in lines[0]
