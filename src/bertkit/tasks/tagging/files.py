"""Sentences with a tag for each word, read from column files such as CoNLL's and from tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bertkit.core.errors import InputError
from bertkit.data.readers.sources import COMPRESSIONS, HubDataset, SourceFile, resolve_sources
from bertkit.data.readers.tables import Table, TableSource, read_table
from bertkit.data.readers.text import text_lines
from bertkit.tasks.examples import Records
from bertkit.tasks.options import Columns
from bertkit.tasks.tagging.iob import (
    OUTSIDE,
    Entity,
    entity_tags,
    is_entity_tag,
    loose_starts,
    mostly_entities,
    needless_begins,
    to_iob2,
)
from bertkit.text.plain_text import split_words


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """All words of a document, in order."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sentence:
    """The words `first` up to `last` of a document; `spans` are their places in `text`, in characters."""

    document: Document
    first: int
    last: int
    text: str
    spans: tuple[tuple[int, int], ...]
    tags: tuple[str, ...] | None
    """One a word, entities in IOB2; None where they are not known."""
    place: str

    @classmethod
    def of_text(
        cls, text: str, spans: tuple[tuple[int, int], ...], tags: tuple[str, ...] | None, place: str
    ) -> Sentence:
        """A text that is a whole document."""
        words = tuple(text[start:end] for start, end in spans)
        return cls(document=Document(words), first=0, last=len(words), text=text, spans=spans, tags=tags, place=place)

    @property
    def words(self) -> tuple[str, ...]:
        """The sentence's own."""
        return self.document.words[self.first : self.last]

    @property
    def marked_text(self) -> str:
        """The text."""
        return self.text

    def record(self) -> dict[str, Any]:
        """What a line of JSON shows."""
        return {"text": self.text}


Sentences = Records[Sentence]


def joined(words: tuple[str, ...]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Words with a space between them, and the characters of each."""
    spans, end = [], -1
    for word in words:
        start = end + 1
        end = start + len(word)
        spans.append((start, end))
    return " ".join(words), tuple(spans)


_DOCUMENT_START = "-DOCSTART-"
_LINES = ".txt"
_MOST_NAMED = 5
_TABLES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")


def read_sentences(
    source: TableSource,
    columns: Columns,
    *,
    split: str = "train",
    where: tuple[str, str] | None = None,
    labelled: bool = True,
) -> Sentences:
    """Read a table (JSONL, CSV, TSV, Parquet, hub data set), or any other file as columns of words and tags.

    A column file has a word a line, empty lines between sentences and `-DOCSTART-` lines between documents; the word
    is the first column and the tag the last unless `columns` gives places. A table's text is a string or a list of
    words; its labels are a list of tags or of spans {"start", "end", "label"} in characters, also written as JSON.
    IOB1, IOB2 and IOBES become IOB2, and a few other tags among them `O`. Raises `InputError` for a file without tags
    if `labelled`.
    """
    sentences: list[Sentence] = []
    warnings: list[str] = []
    for part in [source] if isinstance(source, Table) else resolve_sources([source]):
        if isinstance(part, SourceFile) and not _is_table(part.path):
            sentences += _column_sentences(part.path, columns, labelled=labelled)
        else:
            table = part if isinstance(part, Table) else part.name if isinstance(part, HubDataset) else part.path
            found, odd = _table_sentences(table, columns, split=split, where=where, labelled=labelled)
            sentences += found
            warnings += odd
    if not sentences:
        raise InputError(f"{source} has no sentences: check the file")
    if not labelled or not mostly_entities(tag for sentence in sentences for tag in sentence.tags or ()):
        return Sentences(tuple(sentences), tuple(warnings))
    warnings += _strange(sentences)
    sentences = [replace(sentence, tags=_known_tags(sentence.tags or ())) for sentence in sentences]
    return Sentences(
        tuple(replace(sentence, tags=to_iob2(sentence.tags or ())) for sentence in sentences),
        (*warnings, *_repairs(sentences)),
    )


def is_column_file(path: Path) -> bool:
    """Whether a file to predict from has a word a line: all but tables and texts."""
    return not _is_table(path) and _suffix(path) != _LINES


def _is_table(path: Path) -> bool:
    return _suffix(path) in _TABLES


def _suffix(path: Path) -> str:
    suffixes = [suffix for suffix in path.suffixes if suffix not in COMPRESSIONS]
    return suffixes[-1] if suffixes else ""


def _known_tags(tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(tag if is_entity_tag(tag) else OUTSIDE for tag in tags)


def _strange(sentences: Sequence[Sentence]) -> list[str]:
    """The tags that mean neither an entity nor none."""
    found = [
        (tag, word, sentence.place)
        for sentence in sentences
        for tag, word in zip(sentence.tags or (), sentence.words, strict=True)
        if not is_entity_tag(tag)
    ]
    if not found:
        return []
    kinds = sorted({tag for tag, _, _ in found})
    named = ", ".join(kinds[:_MOST_NAMED]) + (", …" if len(kinds) > _MOST_NAMED else "")
    tag, word, place = found[0]
    text = f"words have tags that are neither O nor B-TYPE or I-TYPE ({named}): read as O"
    return [f"{len(found):,} {text} (the first: {tag} of {word!r}, {place})"]


def _repairs(sentences: Sequence[Sentence]) -> tuple[str, ...]:
    """What breaks the file's scheme, which is the one that the most entities follow."""
    found = [
        [(sentence, place) for sentence in sentences for place in rule(sentence.tags or ())]
        for rule in (loose_starts, needless_begins)
    ]
    is_iob1 = len(found[0]) > len(found[1])
    odd = found[is_iob1]
    if not odd:
        return ()
    sentence, place = odd[0]
    assert sentence.tags is not None
    what = "IOB1, a B- that parts no two entities" if is_iob1 else "IOB2, an I- without a B- before it"
    first = f"{sentence.tags[place]} of {sentence.words[place]!r}, {sentence.place}"
    return (f"{len(odd):,} tags break {what}: taken for the start of an entity (the first: {first})",)


def _column_sentences(path: Path, columns: Columns, *, labelled: bool) -> Iterator[Sentence]:
    """Sentences by document; a document ends where its last sentence is complete."""
    word_place, tag_place = (columns.text, columns.label) if not columns.header else (0, -1)
    assert isinstance(word_place, int)
    assert isinstance(tag_place, int)
    words: list[str] = []
    tags: list[str] = []
    ends: list[int] = [0]
    places: list[int] = []
    for number, line in enumerate(text_lines(path, columns.encoding_errors, lambda count: None), 1):
        content = line.strip(" \t\r\n")
        fields = [field for field in content.split("\t" if "\t" in content else " ") if field]
        if fields and fields[0] == _DOCUMENT_START:
            yield from _document(path, words, tags if labelled else None, [*ends, len(words)], places)
            words, tags, ends, places = [], [], [0], []
        elif not fields:
            if len(words) > ends[-1]:
                ends.append(len(words))
        else:
            if len(fields) <= max(word_place, tag_place) or (labelled and len(fields) < 2):
                raise InputError(f"{path}, row {number} has {len(fields)} columns: give a word and its tag")
            if len(words) == ends[-1]:
                places.append(number)
            words.append(fields[word_place])
            tags.append(fields[tag_place])
    yield from _document(path, words, tags if labelled else None, [*ends, len(words)], places)


def _document(
    path: Path, words: list[str], tags: list[str] | None, ends: list[int], places: list[int]
) -> Iterator[Sentence]:
    document = Document(tuple(words))
    for first, last, number in zip(ends, ends[1:], places, strict=False):
        text, spans = joined(document.words[first:last])
        yield Sentence(
            document=document,
            first=first,
            last=last,
            text=text,
            spans=spans,
            tags=None if tags is None else tuple(tags[first:last]),
            place=f"{path}, row {number}",
        )


def _table_sentences(
    source: TableSource, columns: Columns, *, split: str, where: tuple[str, str] | None, labelled: bool
) -> tuple[list[Sentence], list[str]]:
    names = [columns.text, *([columns.label] if labelled else []), *([where[0]] if where else [])]
    table: Table = read_table(
        source, columns=names, header=columns.header, encoding_errors=columns.encoding_errors, split=split
    )
    sentences, widened, dropped = [], [], []
    for index in range(len(table)):
        if where is not None and table.columns[where[0]][index] != where[1]:
            continue
        place = table.place(index)
        label = _parsed(table.columns[columns.label][index]) if labelled else None
        text, spans = _words(
            _parsed(table.columns[columns.text][index]), columns.text, place, split=not _are_tags(label)
        )
        tags = None
        if labelled:
            tags, is_wide, overlapping = _tags(label, spans, columns.label, place)
            widened += [place] * is_wide
            dropped += [place] * overlapping
        sentences.append(Sentence.of_text(text, spans, tags, place))
    warnings = [
        *table.warnings,
        *(
            f"{len(places):,} spans {what} (the first: {places[0]})"
            for places, what in (
                (widened, "start or end within a word: taken for the whole word"),
                (dropped, "overlap another one or hold no word: the longer one is kept"),
            )
            if places
        ),
    ]
    return sentences, warnings


def _parsed(cell: Any) -> Any:
    """Lists as JSON in a text cell."""
    if isinstance(cell, str) and cell.startswith("["):
        try:
            return json.loads(cell)
        except json.JSONDecodeError:
            return cell
    return cell


def _are_tags(label: Any) -> bool:
    """Whether words are told apart already: each has a tag."""
    return isinstance(label, str) or (
        isinstance(label, list) and bool(label) and all(isinstance(tag, str) for tag in label)
    )


def _words(cell: Any, column: str | int, place: str, *, split: bool) -> tuple[str, tuple[tuple[int, int], ...]]:
    if isinstance(cell, str):
        return (cell, split_words(cell)) if split else joined(tuple(cell.split()))
    if isinstance(cell, list) and all(isinstance(word, str) for word in cell):
        return joined(tuple(cell))
    raise InputError(f"{place}: column {column!r} holds {cell!r}: give a text or a list of words")


def _tags(
    label: Any, spans: tuple[tuple[int, int], ...], column: str | int, place: str
) -> tuple[tuple[str, ...], int, int]:
    """Tags of the words, how many spans were widened to words, and how many left out."""
    if isinstance(label, str):
        label = label.split()
    if not isinstance(label, list):
        raise InputError(f"{place}: column {column!r} holds {label!r}: give a list of tags or of spans")
    if _are_tags(label):
        if len(label) != len(spans):
            raise InputError(f"{place} has {len(spans)} words and {len(label)} tags: give a tag for each word")
        return tuple(label), 0, 0
    found, widened = [], 0
    for start, end, kind in (_span(one, column, place) for one in label):
        inside = [index for index, (first, last) in enumerate(spans) if first < end and last > start]
        if inside:
            widened += (spans[inside[0]][0], spans[inside[-1]][1]) != (start, end)
            found.append(Entity(kind, inside[0], inside[-1] + 1))
    kept: list[Entity] = []
    for entity in sorted(found, key=lambda entity: (entity.first - entity.last, entity.first)):
        if all(entity.last <= other.first or entity.first >= other.last for other in kept):
            kept.append(entity)
    return entity_tags(kept, len(spans)), widened, len(label) - len(kept)


def _span(one: Any, column: str | int, place: str) -> tuple[int, int, str]:
    parts = [one.get(key) for key in ("start", "end", "label")] if isinstance(one, dict) else one
    if isinstance(parts, list | tuple) and len(parts) == 3:
        start, end, label = parts
        if isinstance(start, int) and isinstance(end, int) and isinstance(label, str) and 0 <= start < end:
            return start, end, label
    raise InputError(
        f'{place}: {one!r} in column {column!r} is neither a tag nor a span: give {{"start", "end", "label"}}, in '
        "characters"
    )
