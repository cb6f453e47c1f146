import gzip
import json
import os
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertkit.data.corpus_options import CorpusOptions
from bertkit.data.corpus_pieces import read_pieces
from bertkit.data.sentence_lines import SentenceLines
from bertkit.data.sources import resolve_sources
from bertkit.foundation.errors import InputError, ResourceError
from bertkit.text.chunk_encoder import ChunkEncoder
from bertkit.text.tokenizer import Tokenizer

ALL_AT_ONCE = 1 << 30


def read(path, piece_bytes, as_spans=False, **options):
    """Pieces of a file, and what documents they hold."""
    sources = resolve_sources([path])
    pieces = list(read_pieces(sources, CorpusOptions(**options), piece_bytes=piece_bytes, as_spans=as_spans))
    return pieces, [document.text for _, piece in pieces for document in piece.documents()]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    lines=st.lists(st.sampled_from(["a", "two words", "é\u2028漢", "", "", " ", "\t \r", "\r", "\xa0", " " * 40])),
    ending=st.sampled_from(["\n", "\r\n"]),
    mode=st.sampled_from(["sentence", "document"]),
    piece_bytes=st.integers(1, 30),
    as_spans=st.booleans(),
)
def test_documents_do_not_depend_on_where_the_pieces_are_cut(tmp_path, lines, ending, mode, piece_bytes, as_spans):
    (tmp_path / "a.txt").write_bytes("".join(line + ending for line in lines).encode())
    pieces, documents = read(tmp_path / "a.txt", piece_bytes, as_spans=as_spans, lines=mode)
    assert documents == read(tmp_path / "a.txt", ALL_AT_ONCE, lines=mode)[1]
    assert b"".join(piece.content for _, piece in pieces) == (tmp_path / "a.txt").read_bytes()
    assert all(size == len(piece.content) for size, piece in pieces)


def test_pieces_end_with_documents_and_have_about_the_size_asked_for(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"document {number}\nends here\n\n" for number in range(1000)))
    pieces, documents = read(tmp_path / "a.txt", 500)
    assert documents == [f"document {number}\nends here" for number in range(1000)]
    assert all(400 < size < 600 for size, _ in pieces[:-1])


def test_compressed_text_is_cut_like_plain_text(tmp_path):
    text = "".join(f"document {number}\n\n" for number in range(5000)).encode()
    (tmp_path / "a.txt").write_bytes(text)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(text))
    plain, compressed = (read(tmp_path / name, 3000, as_spans=True)[0] for name in ("a.txt", "a.txt.gz"))
    assert [piece.content for _, piece in plain] == [piece.content for _, piece in compressed]


def test_spans_of_plain_text_are_sent_without_their_text(tmp_path):
    (tmp_path / "a.txt").write_text("a document\n\n" * 1000)
    (_, piece), *_ = read(tmp_path / "a.txt", ALL_AT_ONCE, as_spans=True)[0]
    assert len(pickle.dumps(piece)) < 500
    assert pickle.loads(pickle.dumps(piece)).content == piece.content


@pytest.mark.parametrize("text", ["a document\n\n" * 10, "another one\n" * 1000, "a document\n\n" * 1001])
def test_a_file_that_changes_before_its_text_is_worked_on_is_named(tmp_path, text):
    path = tmp_path / "a.txt"
    path.write_text("a document\n\n" * 1000)
    os.utime(path, (1, 1))
    (_, piece), *_ = read(path, ALL_AT_ONCE, as_spans=True)[0]
    path.write_text(text)
    if len(text) != piece.stored.size:
        os.utime(path, (1, 1))  # the size tells it alone
    with pytest.raises(ResourceError, match=r"a\.txt was changed while it was prepared: run it again"):
        piece.sentences()
    path.unlink()
    with pytest.raises(ResourceError, match=r"a\.txt cannot be read any more \(No such file"):
        piece.sentences()


def test_a_file_put_in_place_of_another_is_named(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"a document in {name}\n")
        os.utime(tmp_path / name, (1, 1))
    (_, piece), *_ = read(tmp_path / "a.txt", ALL_AT_ONCE, as_spans=True)[0]
    (tmp_path / "b.txt").replace(tmp_path / "a.txt")
    with pytest.raises(ResourceError, match="was changed"):
        piece.sentences()


def test_a_pipe_is_read_once(tmp_path):
    reading, writing = os.pipe()
    os.write(writing, b"a document\n\nanother\n")
    os.close(writing)
    try:
        assert read(f"/dev/fd/{reading}", ALL_AT_ONCE, as_spans=True)[1] == ["a document", "another"]
    finally:
        os.close(reading)


def test_a_file_behind_a_descriptor_is_found_in_another_process(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a document\n")
    with path.open() as file:
        (_, piece), *_ = read(f"/dev/fd/{file.fileno()}", ALL_AT_ONCE, as_spans=True)[0]
    assert piece.content == b"a document\n"


def test_bytes_that_are_not_utf8_are_named_by_their_offset_in_the_file(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + b"good\n\n" * 100 + b"caf\xe9\n")
    with pytest.raises(InputError, match=r"a\.txt is not UTF-8 at byte 606 "):
        read(tmp_path / "a.txt", 50)


def test_rows_come_in_pieces_too(tmp_path):
    texts = [f"It rained on day {number}. Nobody came." for number in range(100)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    pieces, documents = read(tmp_path / "a.jsonl", 300)
    assert documents == texts
    assert len(pieces) > 5


# All that Python takes for white space, and what is none.
SPACES = [chr(code) for code in range(0x3001) if chr(code).isspace() and chr(code) != "\n"]
PARTS = [*SPACES, "a", "fox's", "é", "\x00", "\u200b", "漢"]
LINES = st.lists(st.lists(st.sampled_from(PARTS), max_size=4).map("".join))


def encoded(lines, encoder):
    """Of each document that has tokens, the ids of each sentence that has."""
    ids, lengths = encoder.encode_text(lines.text)
    found = {}
    for sentence, document in zip(np.split(ids, np.cumsum(lengths)[:-1]), lines.documents.tolist(), strict=True):
        if len(sentence):
            found.setdefault(document, []).append(sentence.tolist())
    return list(found.values())


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lines=LINES, lowercase=st.booleans(), follow=st.sampled_from(["huggingface", "google"]))
def test_lines_of_sentences_are_encoded_as_their_documents_are(tmp_path, lines, lowercase, follow):
    tokenizer = Tokenizer.train(["a fox's é"] * 3, vocab_size=60, lowercase=lowercase, follow=follow)
    encoder = ChunkEncoder(tokenizer)
    (tmp_path / "a.txt").write_text("\n".join(lines), encoding="utf-8", newline="")
    for _, piece in read_pieces(resolve_sources([tmp_path / "a.txt"]), CorpusOptions()):
        documents = SentenceLines.of_documents(piece.documents())
        assert encoded(piece.sentences(), encoder) == encoded(documents, encoder)
