import json
from pathlib import Path
from typing import Any

import pytest

from bertkit.core.errors import InputError
from bertkit.tasks.contract import Definition
from bertkit.tasks.options import Columns
from bertkit.tasks.tagging.files import read_sentences
from bertkit.tasks.tagging.task import Tagging

COLUMNS = Tagging.usual_columns
CONLL = """-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O
Peter NNP I-NP I-PER
Smith NNP I-NP I-PER
Ann NNP I-NP B-PER


so RB O O

-DOCSTART- -X- O O

Bonn NNP I-NP I-LOC
"""


def _read(path: Path, content: str, columns: Columns = COLUMNS, **options: bool):
    path.write_text(content)
    return read_sentences(path, columns, **options)


def test_a_column_file_is_sentences_of_documents_in_iob2(tmp_path: Path):
    sentences = _read(tmp_path / "eng.train", CONLL)
    first, second, third = sentences.items
    assert first.words == ("EU", "rejects", "Peter", "Smith", "Ann")
    assert first.tags == ("B-ORG", "O", "B-PER", "I-PER", "B-PER")
    assert first.text == "EU rejects Peter Smith Ann"
    assert [first.text[start:end] for start, end in first.spans] == list(first.words)
    assert first.document is second.document
    assert second.document is not third.document
    assert second.words == ("so",)
    assert [sentences.place(index) for index in range(3)] == [
        f"{tmp_path / 'eng.train'}, row {row}" for row in (3, 10, 14)
    ]
    assert sentences.warnings == ()


def test_columns_are_chosen_by_place(tmp_path: Path):
    columns = Columns(text=0, label=1, header=False)
    assert _read(tmp_path / "a.conll", CONLL, columns).items[1].tags == ("RB",)


def test_broken_iob2_is_mended_and_counted(tmp_path: Path):
    sentences = _read(tmp_path / "a.conll", "a B-PER\nb O\nc I-PER\nd I-LOC\n\ne B-PER\n\nf B-LOC\n")
    assert sentences.items[0].tags == ("B-PER", "O", "B-PER", "B-LOC")
    assert "2 tags break IOB2" in sentences.warnings[0]
    assert "I-PER of 'c'" in sentences.warnings[0]


def test_broken_iob1_is_mended_and_counted(tmp_path: Path):
    sentences = _read(tmp_path / "a.conll", "a I-PER\nb O\nc I-PER\nd B-LOC\n")
    assert sentences.items[0].tags == ("B-PER", "O", "B-PER", "B-LOC")
    assert "1 tags break IOB1" in sentences.warnings[0]
    assert "B-LOC of 'd'" in sentences.warnings[0]


def test_words_without_tags_are_read_for_prediction_only(tmp_path: Path):
    assert _read(tmp_path / "a.conll", "a\nb\n", labelled=False).items[0].words == ("a", "b")
    with pytest.raises(InputError, match=r"row 1 has 1 columns: give a word and its tag"):
        _read(tmp_path / "a.conll", "a\nb\n")


@pytest.mark.parametrize(
    ("record", "words", "tags"),
    [
        ({"text": ["a", "b"], "spans": ["B-X", "O"]}, ("a", "b"), ("B-X", "O")),
        ({"text": "a. b", "spans": ["I-X", "I-X"]}, ("a.", "b"), ("B-X", "I-X")),
        ({"text": "a. b", "spans": "O I-X"}, ("a.", "b"), ("O", "B-X")),
        ({"text": "a. b", "spans": [{"start": 0, "end": 1, "label": "X"}]}, ("a", ".", "b"), ("B-X", "O", "O")),
        ({"text": "a. b", "spans": [[0, 2, "X"], [3, 4, "X"]]}, ("a", ".", "b"), ("B-X", "I-X", "B-X")),
        ({"text": "a. b", "spans": []}, ("a", ".", "b"), ("O", "O", "O")),
        ({"text": "ab c", "spans": '[{"start": 3, "end": 4, "label": "X"}]'}, ("ab", "c"), ("O", "B-X")),
    ],
)
def test_tables_hold_tags_or_spans(tmp_path: Path, record: dict[str, Any], words: tuple[str], tags: tuple[str]):
    sentences = _read(tmp_path / "a.jsonl", json.dumps(record))
    assert (sentences.items[0].words, sentences.items[0].tags) == (words, tags)
    assert sentences.warnings == ()


def test_spans_within_words_and_over_one_another_are_counted(tmp_path: Path):
    spans = [[1, 4, "X"], [0, 7, "Y"], [7, 8, "Z"]]
    sentences = _read(tmp_path / "a.jsonl", json.dumps({"text": "one two so", "spans": spans}))
    assert sentences.items[0].tags == ("B-Y", "I-Y", "O")
    widened, dropped = sentences.warnings
    assert "1 spans start or end within a word" in widened
    assert "2 spans overlap another one" in dropped


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": ["a"], "spans": ["O", "O"]}, "has 1 words and 2 tags"),
        ({"text": 3, "spans": []}, "give a text or a list of words"),
        ({"text": "a", "spans": 3}, "give a list of tags or of spans"),
        ({"text": "a", "spans": [{"start": 0, "label": "X"}]}, "neither a tag nor a span"),
        ({"text": "a", "spans": [{"start": 2, "end": 1, "label": "X"}]}, "neither a tag nor a span"),
        ({"text": "a", "spans": [1, 2]}, "neither a tag nor a span"),
        ({"text": "a"}, "no column 'spans'"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, record: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        _read(tmp_path / "a.jsonl", json.dumps(record))


def test_an_empty_file_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no sentences"):
        _read(tmp_path / "a.conll", "\n\n-DOCSTART- O\n")


def test_the_real_files_have_the_published_entities(shared_data: Path):
    columns = Columns(text=0, label=3, header=False)
    for name, sentences, entities in (("train", 14_041, 23_499), ("testa", 3_250, 5_942), ("testb", 3_453, 5_648)):
        read = read_sentences(shared_data / "conll2003" / f"eng.{name}", columns)
        assert len(read) == sentences
        assert sum(tag.startswith("B-") for sentence in read.items for tag in sentence.tags or ()) == entities
        # Two tags of the training file are B- where no entity is before them.
        assert [warning[:17] for warning in read.warnings] == ["2 tags break IOB1"] * (name == "train")


def test_a_few_tags_that_are_no_iob_tags_are_counted_and_read_as_o(tmp_path: Path):
    sentences = _read(tmp_path / "a.conll", "a B-PER\nb I-PER\nc O\n\nd X-PER\ne I-LOC\n\nf\tB-LOC\ng\tper\n")
    assert [sentence.tags for sentence in sentences.items] == [("B-PER", "I-PER", "O"), ("O", "B-LOC"), ("B-LOC", "O")]
    strange, broken = sentences.warnings
    assert strange.startswith("2 words have tags that are neither O nor B-TYPE or I-TYPE (X-PER, per): read as O")
    assert strange.endswith(f"(the first: X-PER of 'd', {tmp_path / 'a.conll'}, row 5)")
    assert broken.startswith("1 tags break IOB2")
    task = Tagging.define(sentences, Definition(max_length=8, columns=COLUMNS))
    assert task.metric_names[0] == "f1"
    assert task.classes == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


def test_tags_that_are_no_entities_stay_as_they_are(tmp_path: Path):
    sentences = _read(tmp_path / "a.conll", "a NN\nb O\nc VBZ\nd I-X\n")
    assert sentences.items[0].tags == ("NN", "O", "VBZ", "I-X")
    assert sentences.warnings == ()
