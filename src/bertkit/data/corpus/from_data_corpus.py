"""Documents of a corpus, streaming, whatever files they come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bertkit.data.corpus_options import CorpusOptions
from bertkit.data.corpus_pieces import read_pieces
from bertkit.data.raw_document import RawDocument
from bertkit.data.sources import Source, resolve_sources
from bertkit.data.text_stream import BytesSeen
from bertkit.foundation.errors import InputError


def read_documents(sources: Sequence[str | Path], options: CorpusOptions) -> Iterator[list[str]]:
    """Yield each document of files, folders, globs and hub data sets as the list of its sentences.

    Raises `InputError` for what does not exist or cannot be read, and for a corpus without text.
    """
    for document in read_raw_documents(resolve_sources(sources), options):
        if sentences := document.sentences():
            yield sentences


def read_raw_documents(
    sources: Sequence[Source], options: CorpusOptions, bytes_seen: BytesSeen = lambda count: None
) -> Iterator[RawDocument]:
    """Yield each document unsplit."""
    empty = True
    for _, piece in read_pieces(sources, options, bytes_seen):
        for document in piece.documents():
            empty = False
            yield document
    if empty:
        raise InputError(f"the corpus is empty: {', '.join(source.origin for source in sources)} holds no text")
