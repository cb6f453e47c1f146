import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertkit.core.errors import InputError
from bertkit.data.readers import tables as table_parts
from bertkit.data.readers import text as text_reader
from bertkit.data.readers.tables import RowOptions, read_table, read_table_parts


def test_csv_fields_may_be_quoted(tmp_path):
    (tmp_path / "a.csv").write_text('text,label\n"one, ""two""\nthree",1\nfour,0\n')
    table = read_table(tmp_path / "a.csv", columns=["label", "text"])
    assert table.columns == {"label": ["1", "0"], "text": ['one, "two"\nthree', "four"]}
    assert [table.place(i).split("/")[-1] for i in range(len(table))] == ["a.csv, row 2", "a.csv, row 4"]


def test_tsv_fields_may_hold_unbalanced_quotes(tmp_path):
    (tmp_path / "a.tsv").write_bytes('\ufeff"id\ttext\r\n1\tsaid "hello\r\n2\tthere"\textra\r\n'.encode())
    assert read_table(tmp_path / "a.tsv", columns=["text"]).columns["text"] == ['said "hello', 'there"']


def test_columns_without_a_header_go_by_place(tmp_path):
    (tmp_path / "a.tsv").write_text("gj04\t1\t\tA sentence.\n")
    table = read_table(tmp_path / "a.tsv", columns=[3, 1], header=False)
    assert table.columns == {3: ["A sentence."], 1: ["1"]}
    with pytest.raises(InputError, match="number from 0, not 'text'"):
        read_table(tmp_path / "a.tsv", columns=["text"], header=False)


def test_typed_formats_keep_their_values(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one", "score": 1.5}\n{"text": "two", "score": null}\n')
    pq.write_table(pa.table({"text": ["one", "two"], "score": [1.5, None]}), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        table = read_table(tmp_path / name, columns=["text", "score"])
        assert table.columns == {"text": ["one", "two"], "score": [1.5, None]}
        assert table.place(1).endswith(f"{name}, row 2")


def test_compressed_tables_are_read(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps({"text": "é"}).encode()))
    assert read_table(tmp_path / "a.jsonl.gz", columns=["text"]).columns["text"] == ["é"]


def test_a_short_row_is_named(tmp_path):
    (tmp_path / "a.tsv").write_text("text\tlabel\none\t1\n\ntwo\n")
    with pytest.raises(InputError, match=r"a\.tsv, row 4 has 1 fields and no column 'label'"):
        read_table(tmp_path / "a.tsv", columns=["text", "label"])


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet"])
def test_a_missing_column_is_answered_with_the_nearest(tmp_path, name):
    (tmp_path / "a.csv").write_text("sentence,label\none,1\n")
    (tmp_path / "a.tsv").write_text("sentence\tlabel\none\t1\n")
    (tmp_path / "a.jsonl").write_text('{"sentence": "one", "label": 1}\n')
    pq.write_table(pa.table({"sentence": ["one"], "label": [1]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"no column 'sentense'; it has 'sentence', 'label': did you mean 'sentence'"):
        read_table(tmp_path / name, columns=["sentense"])
    with pytest.raises(InputError, match=r"no column 7; it has 'sentence', 'label': name one"):
        read_table(tmp_path / name, columns=[7])


def test_unbalanced_quotes_in_csv_are_named_by_row(tmp_path):
    (tmp_path / "a.csv").write_text('text\n"one"\n"two\n')
    with pytest.raises(InputError, match=r"a\.csv, row 3 is not valid CSV"):
        read_table(tmp_path / "a.csv", columns=["text"])


def test_a_table_without_rows_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n")
    with pytest.raises(InputError, match=r"a\.csv has no rows: check the file"):
        read_table(tmp_path / "a.csv", columns=["text"])
    with pytest.raises(InputError, match=r"a\.csv has no rows: check the file"):
        next(read_table_parts(tmp_path / "a.csv", RowOptions(columns=("text",))))


def test_rows_are_placed_by_their_file_or_data_set(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", lambda *names, **options: iter([{"text": "a"}, {"text": "b"}]))
    (tmp_path / "a.csv").write_text("text\none\n")
    for source, place in (("someone/texts", "someone/texts, row 1"), (tmp_path / "a.csv", f"{tmp_path}/a.csv, row 2")):
        assert read_table(source, columns=["text"]).place(0) == place
        assert next(read_table_parts(source, RowOptions(columns=("text",)))).place(0) == place


def test_text_and_broken_parquet_are_no_tables(tmp_path):
    (tmp_path / "a.txt").write_text("hello\n")
    with pytest.raises(InputError, match=r"a\.txt is not a table"):
        read_table(tmp_path / "a.txt", columns=["text"])
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(InputError, match=r"a\.parquet is not a readable Parquet"):
        read_table(tmp_path / "a.parquet", columns=["text"])


@pytest.mark.parametrize(
    ("file", "columns", "header", "rows"),
    [
        ("CoLA/train.tsv", [3, 1], False, 8551),
        ("CoLA/test.tsv", ["sentence"], True, 1063),
        ("MRPC/train.tsv", ["Quality", "#1 String", "#2 String"], True, 3668),
        ("STS-B/dev.tsv", ["sentence1", "sentence2", "score"], True, 1500),
        ("QNLI/dev.tsv", ["question", "sentence", "label"], True, 5463),
    ],
)
def test_glue_files_have_their_published_rows(shared_data, file, columns, header, rows):
    table = read_table(shared_data / "glue" / file, columns=columns, header=header)
    assert len(table) == rows


@pytest.mark.parametrize(
    ("header", "first"), [(True, "the header 2: put texts with commas in quotes"), (False, "the first row 2: put")]
)
def test_a_csv_row_that_a_bare_comma_has_cut_is_named(tmp_path, header, first):
    (tmp_path / "a.csv").write_text("text,label\none,1\n\ngood, funny and odd,0\n")
    with pytest.raises(InputError, match=rf"a\.csv, row 4 has 3 fields, {first}"):
        read_table(tmp_path / "a.csv", columns=["text", "label"] if header else [0, 1], header=header)


def test_tsv_rows_with_fields_too_many_are_counted(tmp_path):
    (tmp_path / "a.tsv").write_text("text\tlabel\none\t1\ntwo\t0\tmore\nthree\t1\tand\tmore\n")
    table = read_table(tmp_path / "a.tsv", columns=["text", "label"])
    assert table.columns["label"] == ["1", "0", "1"]
    (warning,) = table.warnings
    assert warning.startswith("2 rows have more fields than the first line")
    assert warning.endswith("a.tsv, row 3)")


def test_a_table_in_parts_counts_rows_with_fields_too_many_in_each(tmp_path, monkeypatch):
    monkeypatch.setattr(table_parts, "_MAX_ROWS", 2)
    (tmp_path / "a.tsv").write_text("text\none\tx\ntwo\nthree\nfour\tx\nfive\n")
    parts = table_parts.read_table_parts(tmp_path / "a.tsv", RowOptions(columns=("text",)))
    rows = [[warning.rsplit(" ", 1)[-1] for warning in part.warnings] for part in parts]
    assert rows == [["2)"], ["5)"], []]


@pytest.fixture
def small_limits(monkeypatch):
    """Fields of 1,000 bytes, lines of 3,000."""
    monkeypatch.setattr(table_parts, "MAX_DOCUMENT_BYTES", 1000)
    monkeypatch.setattr(text_reader, "_MAX_LINE_BYTES", 3000)


@pytest.mark.parametrize("text", ["x" * 1001, "é" * 501, "x y " * 251])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet"])
def test_a_field_has_a_limit_in_bytes(small_limits, tmp_path, name, text):
    path = tmp_path / name
    for value, is_read in ((text[:500], True), (text, False)):
        if name == "a.parquet":
            pq.write_table(pa.table({"text": ["short", value]}), path)
        elif name == "a.jsonl":
            path.write_text(f'{{"text": "short"}}\n{json.dumps({"text": value}, ensure_ascii=False)}\n')
        else:
            path.write_text(f"text\nshort\n{value}\n")
        if is_read:
            assert read_table(path, columns=["text"]).columns["text"] == ["short", value]
        else:
            with pytest.raises(InputError, match=r"row (2|3).* holds more than 0 MB: .*cut it into several rows"):
                read_table(path, columns=["text"])


def test_an_unclosed_quote_stops_at_the_limit_and_not_at_the_end(small_limits, tmp_path):
    seen = []
    (tmp_path / "a.csv").write_text('text\n"no end\n' + "a line\n" * 1_000_000)
    source = table_parts.resolve_sources([tmp_path / "a.csv"])[0]
    with pytest.raises(InputError, match=r"a\.csv, row 2: a field holds more than 0 MB: close its quotes"):
        list(table_parts.read_rows(source, RowOptions(columns=("text",)), seen.append))
    assert sum(seen) < 2_000_000


def test_a_list_has_the_limit_of_a_field(small_limits, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"words": ["word"] * 300}) + "\n")
    with pytest.raises(InputError, match="the column 'words' holds more than"):
        read_table(tmp_path / "a.jsonl", columns=["words"])


@pytest.mark.parametrize("dictionary", [True, False])
def test_parquet_is_decoded_by_bytes_and_not_by_rows(tmp_path, monkeypatch, dictionary):
    monkeypatch.setattr(table_parts, "_BATCH_BYTES", 10_000)
    texts = ["x" * 4000 if dictionary else f"{number:04000d}" for number in range(50)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", use_dictionary=dictionary, compression="zstd")
    sizes = []
    batches = pq.ParquetFile.iter_batches

    def counted(file, *, batch_size, **options):
        sizes.append(batch_size)
        return batches(file, batch_size=batch_size, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    assert read_table(tmp_path / "a.parquet", columns=["text"]).columns["text"] == texts
    assert sizes == [2]


def test_the_size_of_a_dictionary_page_is_read_from_its_header(tmp_path):
    text = "word " * 100_000
    pq.write_table(pa.table({"text": [text] * 3}), tmp_path / "a.parquet", compression="gzip")
    chunk = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0).column(0)
    assert table_parts._dictionary_bytes(tmp_path / "a.parquet", chunk.dictionary_page_offset) == len(text) + 4


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet"])
def test_a_column_that_is_there_twice_is_refused_where_it_is_read(tmp_path, name):
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(pa.table([["one"], ["0"], ["two"]], names=["text", "label", "text"]), path)
    elif name == "a.jsonl":
        path.write_text('{"text": "one", "label": "\\"text\\"", "more": {"text": 1, "label": 0}, "text": "two"}\n')
    else:
        path.write_text("text,label,text\none,0,two\n".replace(",", "," if name == "a.csv" else "\t"))
    with pytest.raises(InputError, match="more than one column 'text'"):
        read_table(path, columns=["text"])
    assert len(read_table(path, columns=["label"])) == 1
