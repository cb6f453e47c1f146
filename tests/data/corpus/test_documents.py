import errno
import gzip
import json
import lzma
import os
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertkit.core.errors import InputError, ResourceError
from bertkit.data.corpus.documents import SentenceLines, read_documents, read_pieces
from bertkit.data.corpus.options import CorpusOptions
from bertkit.data.readers import text as text_reader
from bertkit.data.readers.sources import resolve_sources
from bertkit.text.bulk_encoder import ChunkEncoder
from bertkit.text.tokenizer import Tokenizer

TEXT = "First one.\nSecond one.\n\n\n  \nThird, in another document.\n"
SENTENCES = [["First one.", "Second one."], ["Third, in another document."]]


def read(*sources, **options):
    return list(read_documents(sources, CorpusOptions(**options)))


@pytest.mark.parametrize("text", [TEXT, TEXT.rstrip(), "\n\n" + TEXT, TEXT.replace("\n", "\r\n"), "\ufeff" + TEXT])
def test_blank_lines_separate_documents(tmp_path, text):
    (tmp_path / "a.txt").write_bytes(text.encode())
    assert read(tmp_path / "a.txt") == SENTENCES


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_compressed_text_is_read(tmp_path, suffix):
    path = tmp_path / f"a.txt{suffix}"
    compress = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": lambda b: pa.compress(b, "zstd", asbytes=True)}
    path.write_bytes(compress[suffix](TEXT.encode()))
    assert read(path) == SENTENCES


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_a_truncated_compressed_file_is_named(tmp_path, suffix):
    path = tmp_path / f"a.txt{suffix}"
    compress = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": lambda b: pa.compress(b, "zstd", asbytes=True)}
    path.write_bytes(compress[suffix](TEXT.encode() * 100)[:-9])
    with pytest.raises(InputError, match=r"a\.txt.* is truncated or damaged"):
        read(path)
    path.write_bytes(b"this is not compressed")
    with pytest.raises(InputError, match=r"a\.txt.* is truncated or damaged"):
        read(path)


def test_paragraph_lines_are_split_into_sentences(tmp_path):
    (tmp_path / "a.txt").write_text("It rained. Nobody came.\nThe end was near.\n\nA new day began. It was dry.\n")
    expected = [["It rained.", "Nobody came.", "The end was near."], ["A new day began.", "It was dry."]]
    assert read(tmp_path / "a.txt", lines="paragraph") == expected


def test_document_lines_are_documents(tmp_path):
    (tmp_path / "a.txt").write_text("It rained. Nobody came.\n\nThe end was near.\n")
    assert read(tmp_path / "a.txt", lines="document") == [["It rained.", "Nobody came."], ["The end was near."]]


def test_rows_of_every_table_format_are_documents(tmp_path):
    rows = ["It rained. Nobody came.", 'He said "no, never".\nThen he left.', "  "]
    expected = [["It rained.", "Nobody came."], ['He said "no, never".', "Then he left."]]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"id": 1, "body": row}) for row in rows) + "\n")
    (tmp_path / "a.csv").write_text("id,body\n" + "".join('1,"' + row.replace('"', '""') + '"\n' for row in rows))
    pq.write_table(pa.table({"id": [1, 2, 3], "body": rows}), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        assert read(tmp_path / name, text_column="body") == expected, name


def test_a_missing_column_is_answered_with_those_there_are(tmp_path):
    (tmp_path / "a.csv").write_text("id,texts\n1,hello\n")
    (tmp_path / "a.jsonl").write_text('{"id": 1, "texts": "hello"}\n')
    pq.write_table(pa.table({"id": [1], "texts": ["hello"]}), tmp_path / "a.parquet")
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        with pytest.raises(InputError, match=r"no column 'text'; it has 'id', 'texts': did you mean 'texts'\?"):
            read(tmp_path / name)


def test_a_row_that_is_not_text_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "hello"}\n\n{"text": 17}\n')
    with pytest.raises(InputError, match=r"a\.jsonl, row 3.*17"):
        read(tmp_path / "a.jsonl")


def test_broken_json_is_named_by_row(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "hello"}\n{"text": "hel\n')
    with pytest.raises(InputError, match=r"a\.jsonl, row 2 is not valid JSON"):
        read(tmp_path / "a.jsonl")


def test_half_a_surrogate_pair_is_replaced(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "hello\\ud800there"}\n')
    assert read(tmp_path / "a.jsonl") == [["hello?there"]]


def test_bytes_that_are_not_utf8_are_named_by_offset_or_replaced(tmp_path):
    good = "é" * 700_000 + "\n"
    path = tmp_path / "a.txt"
    path.write_bytes(good.encode() + b"caf\xe9 here\n")
    with pytest.raises(InputError, match=rf"a\.txt is not UTF-8 at byte {len(good.encode()) + 3} .*--encoding-errors"):
        read(path)
    assert read(path, encoding_errors="replace")[0][1] == "caf\ufffd here"


def test_a_line_of_ten_megabytes_is_one_sentence(tmp_path):
    line = "word " * 2_000_000
    (tmp_path / "a.txt").write_text(f"before\n{line}\nafter\n")
    assert read(tmp_path / "a.txt") == [["before", line.strip(), "after"]]
    (tmp_path / "a.csv").write_text(f'text\n"{line[:200_000]}"\n')
    assert len(read(tmp_path / "a.csv")[0][0]) == 199_999


def test_a_document_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text_reader, "MAX_DOCUMENT_BYTES", 1000)
    (tmp_path / "a.txt").write_text("a line of words\n" * 100)
    with pytest.raises(InputError, match="blank line between documents"):
        read(tmp_path / "a.txt")


def test_folders_and_globs_give_their_files_in_order(tmp_path):
    for name in ("b.txt", "a.txt", "deep/c.txt", ".hidden.txt", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name + "\n")
    assert read(tmp_path) == [["a.txt"], ["b.txt"], ["deep/c.txt"]]
    assert read(f"{tmp_path}/?.txt") == [["a.txt"], ["b.txt"]]
    assert read(tmp_path / "notes.md", tmp_path / "a.txt") == [["notes.md"], ["a.txt"]]


def test_a_hub_data_set_is_streamed(monkeypatch):
    import datasets

    asked = []

    def load_dataset(*names, **options):
        asked.append((names, options))
        return iter([{"text": "It rained. Nobody came."}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert read("someone/texts:english", split="validation") == [["It rained.", "Nobody came."]]
    assert asked == [(("someone/texts", "english"), {"split": "validation", "streaming": True})]


def test_a_hub_data_set_that_cannot_be_loaded_is_one_line(monkeypatch):
    import datasets

    def load_dataset(*names, **options):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(ResourceError, match=r"^someone/texts is neither a file nor .*no route.*network$"):
        read("someone/texts")


@pytest.mark.parametrize("error", [FileNotFoundError, ValueError])
def test_a_hub_data_set_without_that_name_or_split_is_a_mistake(monkeypatch, error):
    import datasets

    def load_dataset(*names, **options):
        raise error("unknown")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(InputError, match="check the name") as raised:
        read("someone/texts")
    assert raised.type is InputError


def test_a_disk_that_fails_under_a_table_is_no_mistake(tmp_path, monkeypatch):
    pq.write_table(pa.table({"text": ["hello"]}), tmp_path / "a.parquet")

    def fail(*arguments, **options):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", fail)
    with pytest.raises(ResourceError, match=r"a\.parquet cannot be read \(Input/output error\)"):
        read(tmp_path / "a.parquet")


def test_a_file_that_may_not_be_read_is_a_mistake(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("hello\n")

    def refuse(*arguments):  # as root would not be
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(text_reader, "_CountedFile", refuse)
    with pytest.raises(InputError, match=r"a\.txt cannot be read \(Permission denied\)") as raised:
        read(tmp_path / "a.txt")
    assert raised.type is InputError


@pytest.mark.parametrize("name", ["absent.txt", "absent/file.txt", "absent", "*.absent"])
def test_what_does_not_exist_is_named(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="absent"):
        read(name)


@pytest.mark.parametrize("content", ["", "\n\n \n"])
def test_an_empty_corpus_is_refused(tmp_path, content):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(InputError, match=r"the corpus is empty.*a\.txt"):
        read(tmp_path / "a.txt")


def test_unknown_options_are_refused():
    with pytest.raises(InputError, match="'words'"):
        CorpusOptions(lines="words")
    with pytest.raises(InputError, match="'ignore'"):
        CorpusOptions(encoding_errors="ignore")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), min_size=1)))
def test_documents_come_back_as_they_were_written(tmp_path, documents):
    (tmp_path / "a.txt").write_text("\n".join("\n".join(d) + "\n" for d in documents) + "\nend.", encoding="utf-8")
    blocks, block = [], []
    for line in [line for document in documents for line in [*document, ""]]:
        if line.strip():
            block.append(line.strip())
        elif block:
            blocks.append(block)
            block = []
    assert read(tmp_path / "a.txt") == [*blocks, ["end."]]


ALL_AT_ONCE = 1 << 30


def read_pieces_of(path, piece_bytes, as_spans=False, **options):
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
    pieces, documents = read_pieces_of(tmp_path / "a.txt", piece_bytes, as_spans=as_spans, lines=mode)
    assert documents == read_pieces_of(tmp_path / "a.txt", ALL_AT_ONCE, lines=mode)[1]
    assert b"".join(piece.content for _, piece in pieces) == (tmp_path / "a.txt").read_bytes()
    assert all(size == len(piece.content) for size, piece in pieces)


def test_pieces_end_with_documents_and_have_about_the_size_asked_for(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"document {number}\nends here\n\n" for number in range(1000)))
    pieces, documents = read_pieces_of(tmp_path / "a.txt", 500)
    assert documents == [f"document {number}\nends here" for number in range(1000)]
    assert all(400 < size < 600 for size, _ in pieces[:-1])


def test_compressed_text_is_cut_like_plain_text(tmp_path):
    text = "".join(f"document {number}\n\n" for number in range(5000)).encode()
    (tmp_path / "a.txt").write_bytes(text)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(text))
    plain, compressed = (read_pieces_of(tmp_path / name, 3000, as_spans=True)[0] for name in ("a.txt", "a.txt.gz"))
    assert [piece.content for _, piece in plain] == [piece.content for _, piece in compressed]


def test_spans_of_plain_text_are_sent_without_their_text(tmp_path):
    (tmp_path / "a.txt").write_text("a document\n\n" * 1000)
    (_, piece), *_ = read_pieces_of(tmp_path / "a.txt", ALL_AT_ONCE, as_spans=True)[0]
    assert len(pickle.dumps(piece)) < 500
    assert pickle.loads(pickle.dumps(piece)).content == piece.content


@pytest.mark.parametrize("text", ["a document\n\n" * 10, "another one\n" * 1000, "a document\n\n" * 1001])
def test_a_file_that_changes_before_its_text_is_worked_on_is_named(tmp_path, text):
    path = tmp_path / "a.txt"
    path.write_text("a document\n\n" * 1000)
    os.utime(path, (1, 1))
    (_, piece), *_ = read_pieces_of(path, ALL_AT_ONCE, as_spans=True)[0]
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
    (_, piece), *_ = read_pieces_of(tmp_path / "a.txt", ALL_AT_ONCE, as_spans=True)[0]
    (tmp_path / "b.txt").replace(tmp_path / "a.txt")
    with pytest.raises(ResourceError, match="was changed"):
        piece.sentences()


def test_a_pipe_is_read_once(tmp_path):
    reading, writing = os.pipe()
    os.write(writing, b"a document\n\nanother\n")
    os.close(writing)
    try:
        assert read_pieces_of(f"/dev/fd/{reading}", ALL_AT_ONCE, as_spans=True)[1] == ["a document", "another"]
    finally:
        os.close(reading)


def test_a_file_behind_a_descriptor_is_found_in_another_process(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a document\n")
    with path.open() as file:
        (_, piece), *_ = read_pieces_of(f"/dev/fd/{file.fileno()}", ALL_AT_ONCE, as_spans=True)[0]
    assert piece.content == b"a document\n"


def test_bytes_that_are_not_utf8_are_named_by_their_offset_in_the_file(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + b"good\n\n" * 100 + b"caf\xe9\n")
    with pytest.raises(InputError, match=r"a\.txt is not UTF-8 at byte 606 "):
        read_pieces_of(tmp_path / "a.txt", 50)


def test_rows_come_in_pieces_too(tmp_path):
    texts = [f"It rained on day {number}. Nobody came." for number in range(100)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    pieces, documents = read_pieces_of(tmp_path / "a.jsonl", 300)
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
