import json
from pathlib import Path

import pytest

from bertkit.cli.main import USER_ERROR, run


def test_a_preset_is_counted_part_by_part(capsys: pytest.CaptureFixture[str]):
    assert run(["doctor", "--model", "base"]) == 0
    printed = capsys.readouterr().out
    for part in ("23,440,896", "393,216", "7,087,872 each", "85,054,464", "590,592", "109,482,240", "110,106,428"):
        assert part in printed


def test_json_holds_every_layer_and_the_sums(tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["doctor", "--model", str(tiny_model), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert counts["architecture"] == "BertForPreTraining"
    parts = [*counts["embeddings"].values(), *counts["layers"], counts["pooler"], *counts["heads"].values()]
    assert sum(parts) == counts["total"]
    assert counts["encoder"] == counts["total"] - sum(counts["heads"].values())


def test_an_unknown_model_is_one_line(capsys: pytest.CaptureFixture[str]):
    assert run(["doctor", "--model", "enormous"]) == USER_ERROR
    assert "enormous is no preset" in capsys.readouterr().err


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    text = "".join(f"The {word} runs over the green stone.\nIt keeps quiet again.\n\n" for word in "abcdefghijkl")
    (folder / "corpus.txt").write_text(text)
    (folder / "benchmark.tsv").write_text("text\tlabel\nThe k runs over, the green stone and more than that\t1\n")
    corpus, tokenizer = str(folder / "corpus.txt"), str(folder / "tokenizer")
    assert run(["vocab", corpus, "--size", "60", "--out", tokenizer]) == 0
    assert run(["prepare", corpus, "--tokenizer", tokenizer, "--out", str(folder / "data"), "--workers", "1"]) == 0
    return folder


def test_a_corpus_is_examined_as_text_json_and_page(prepared: Path, capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    command = ["doctor", str(prepared / "data"), "--against", str(prepared / "benchmark.tsv")]
    assert run([*command, "--json", "--html", str(prepared / "page.html")]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["documents"], figures["duplicates"]["sentences"]) == (12, 11)
    assert figures["overlap"][0]["texts"] == 1
    page = (prepared / "page.html").read_text()
    for part in ("<svg", "unigram entropy", "benchmark.tsv", "tokens a word"):
        assert part in page
    assert run(command) == 0
    assert "unigram entropy" in " ".join(capsys.readouterr().out.split())


def test_a_page_replaces_neither_a_file_of_the_corpus_nor_another_unasked(prepared: Path, capsys):
    manifest, page = prepared / "data" / "manifest.json", prepared / "mine.html"
    before = manifest.read_bytes()
    page.write_text("kept")
    for overwrite in ([], ["--overwrite"]):
        assert run(["doctor", str(prepared / "data"), "--html", str(manifest), *overwrite]) == USER_ERROR
        assert "must end in .html" in capsys.readouterr().err
    assert run(["doctor", str(prepared / "data"), "--html", str(page)]) == USER_ERROR
    assert "is there already" in capsys.readouterr().err
    assert (manifest.read_bytes(), page.read_text()) == (before, "kept")
    assert run(["doctor", str(prepared / "data"), "--html", str(page), "--overwrite"]) == 0
    assert "<svg" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give either DATA"),
        (["{data}", "--model", "base"], "give either DATA"),
        (["--model", "base", "--html", "page.html"], "are about a prepared corpus"),
        (["{data}", "--against", "nowhere"], "nowhere"),
        (["{data}/tokenizer"], "is not a prepared corpus"),
    ],
)
def test_a_mistake_is_one_line(prepared: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str):
    assert run(["doctor", *(argument.format(data=prepared / "data") for argument in arguments)]) == USER_ERROR
    assert words in capsys.readouterr().err
