import json
import lzma

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertkit.core.errors import InputError
from bertkit.data.corpus.overlap import benchmark_files, file_texts, text_overlap
from bertkit.data.corpus.prepare import prepare
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.text.tokenizer import Tokenizer

WORDS = [a + b for a in ("ba", "co", "du", "fe") for b in ("rin", "tol", "mas", "kep", "lu")]


@pytest.fixture(scope="module")
def documents():
    draw = np.random.default_rng(1)
    return [[draw.choice(WORDS, draw.integers(8, 30)).tolist() for _ in range(6)] for _ in range(20)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, documents):
    folder = tmp_path_factory.mktemp("corpus")
    text = "\n\n".join("\n".join(" ".join(words) + "." for words in document) for document in documents)
    (folder / "text.txt").write_text(text)
    prepare([folder / "text.txt"], Tokenizer.train([text, "0 1 2 3 4 5 6 7 8 9 , ,"], vocab_size=90), folder / "out")
    return PreparedCorpus.open(folder / "out")


def overlapping(corpus, tmp_path, texts):
    path = tmp_path / "benchmark.txt"
    path.write_text("\n".join(texts))
    (found,) = text_overlap(corpus, [path])
    return found


def test_thirteen_words_of_one_document_overlap_whatever_the_marks_and_case(corpus, documents, tmp_path):
    stream = [word for words in documents[3] for word in words]
    own = [str(number) for number in range(100, 120)]
    thirteen = ", ".join([*own, *stream[20:33], *own]).upper()
    twelve = " ".join([*own, *stream[20:32], *own])
    across = " ".join([*own, *[word for words in documents[4] for word in words][-7:], *documents[5][0][:7], *own])
    found = overlapping(corpus, tmp_path, [twelve, thirteen, across])
    assert (found.texts, found.overlapping, found.examples) == (3, 1, (thirteen,))


def test_short_texts_overlap_as_whole_sentences_only(corpus, documents, tmp_path):
    sentence = next(words for document in documents for words in document if 8 <= len(words) <= 12)
    texts = [" ".join(sentence), " ".join(sentence[::-1]), " ".join([*sentence, "7"][:12]), " ".join(sentence[:7])]
    found = overlapping(corpus, tmp_path, texts)
    assert (found.texts, found.overlapping, found.examples) == (3, 1 + (len(sentence) == 12), tuple(texts[:1]))


def test_a_file_of_short_texts_is_not_judged(corpus, tmp_path):
    found = overlapping(corpus, tmp_path, ["barin tol", "", "durin"])
    assert (found.texts, found.overlapping, found.share) == (0, 0, 0)


def test_overlap_is_that_found_by_looking(corpus, documents, tmp_path):
    draw = np.random.default_rng(2)
    streams = [[word for words in document for word in words] for document in documents]
    windows = {tuple(stream[i : i + 13]) for stream in streams for i in range(len(stream) - 12)}
    texts = []
    for _ in range(60):
        stream = streams[draw.integers(20)]
        start, length = draw.integers(len(stream) - 20), draw.integers(9, 18)
        texts.append([*draw.choice(WORDS, 3), *stream[start : start + length], *draw.choice(WORDS, 3)])
    expected = sum(any(tuple(text[i : i + 13]) in windows for i in range(len(text) - 12)) for text in texts)
    assert 10 < expected < 50
    assert overlapping(corpus, tmp_path, [" ".join(text) for text in texts]).overlapping == expected


def test_texts_of_every_format(tmp_path):
    (tmp_path / "a.tsv").write_text('one "text\ttwo\nthree\t4\n')
    (tmp_path / "b.csv").write_text('"one, text",two\n')
    (tmp_path / "c.json.xz").write_bytes(lzma.compress(json.dumps({"data": [{"q": "one"}, 3, ["two"]]}).encode()))
    (tmp_path / "d.jsonl").write_text('{"text": "one"}\n\n{"text": "two"}\n')
    rows = pa.table({"id": [1, 2], "question": ["one", None], "answers": [{"text": ["two"]}, {"text": ["three"]}]})
    pq.write_table(rows, tmp_path / "e.parquet")
    (tmp_path / "eng.testa").write_text("-DOCSTART- X\n\nEU NNP\nrejects VBZ\n\nBlair NNP\n")
    (tmp_path / "notes.md").write_text("not read")
    files = benchmark_files([tmp_path])
    assert {path.name: list(file_texts(path)) for path in files} == {
        "a.tsv": ['one "text', "two", "three", "4"],
        "b.csv": ["one, text", "two"],
        "c.json.xz": ["one", "two"],
        "d.jsonl": ["one", "two"],
        "e.parquet": ["one", "two", "three"],
        "eng.testa": ["-DOCSTART-", "EU rejects", "Blair"],
    }


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        benchmark_files([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="neither a file nor a folder with"):
        benchmark_files([tmp_path])
    (tmp_path / "a.parquet").write_bytes(b"no table")
    with pytest.raises(InputError, match=r"a\.parquet is not a readable Parquet file"):
        list(file_texts(tmp_path / "a.parquet"))
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match=r"a\.json is not valid JSON"):
        list(file_texts(tmp_path / "a.json"))
