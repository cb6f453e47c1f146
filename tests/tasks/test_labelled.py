from pathlib import Path

import pytest

from bertkit.core.errors import InputError
from bertkit.tasks.labelled import read_examples
from bertkit.tasks.options import Columns, TableOptions


def test_pairs_and_labels_are_read_with_their_rows(tmp_path: Path):
    path = tmp_path / "table.csv"
    path.write_text('id,a,b,y\n1,"one, two",three,yes\n2,four,five,no\n')
    examples = read_examples(path, Columns(text="a", text_pair="b", label="y"))
    assert examples.texts == ("one, two", "four")
    assert examples.text_pairs == ("three", "five")
    assert examples.labels == ("yes", "no")
    assert examples.place(1) == f"{path}, row 3"
    assert examples.take([1]).texts == ("four",)


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_text_is_named_with_its_row(tmp_path: Path, text: str):
    path = tmp_path / "table.tsv"
    path.write_text(f"text\tlabel\ngood\t1\n{text}\t0\n")
    with pytest.raises(InputError, match=r"table\.tsv, row 3: column 'text'"):
        read_examples(path, Columns())


def test_a_missing_column_is_named(tmp_path: Path):
    path = tmp_path / "table.csv"
    path.write_text("texts,label\na,b\n")
    with pytest.raises(InputError, match="did you mean 'texts'"):
        read_examples(path, Columns())


def test_columns_without_a_header_are_places():
    assert Columns().changed(TableOptions(text="0", label="1", header=False)) == Columns(text=0, label=1, header=False)
    with pytest.raises(InputError, match=r"'text'.*counted from 0"):
        Columns().changed(TableOptions(text="text", label="1", header=False))


def test_a_column_named_twice_is_refused():
    with pytest.raises(InputError, match="named twice"):
        Columns(text="a", label="a")


def test_columns_keep_what_is_not_changed():
    columns = Columns(text="a", text_pair="b", label="c")
    assert columns.changed(TableOptions()) == columns
    assert columns.changed(TableOptions(label="d")) == Columns(text="a", text_pair="b", label="d")
