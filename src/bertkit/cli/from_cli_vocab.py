"""`bertkit vocab`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bertkit.data.corpus_options import CorpusOptions
from bertkit.foundation.errors import InputError
from bertkit.text.reference import Reference


def vocab(
    *corpus: str,
    out: Path,
    size: int = 30522,
    cased: bool = False,
    min_frequency: int = 2,
    limit_alphabet: int = 1000,
    follow: Reference = "huggingface",
    reading: Annotated[CorpusOptions, Parameter(name="*")] = CorpusOptions(),
) -> None:
    """Train a WordPiece vocabulary; the same corpus gives the same files.

    Parameters
    ----------
    corpus
        Files (.txt, .jsonl, .csv, .tsv, .parquet, also .gz, .xz, .zst), folders, globs or hub data sets.
    out
        Folder for tokenizer.json, tokenizer_config.json and vocab.txt; those of an older tokenizer are replaced.
    size
        Entries, special tokens counted.
    cased
        Keep case and accents.
    min_frequency
        Least number of times that a merged piece occurs.
    limit_alphabet
        Most characters that stand in the vocabulary by themselves.
    follow
        Whose tokenizer decides in the rare cases where two differ: Hugging Face's, or google-research/bert's.
    """
    from bertkit.data.corpus import read_raw_documents
    from bertkit.data.sources import resolve_sources
    from bertkit.foundation.console import progress
    from bertkit.foundation.files import atomic_folder
    from bertkit.text.tokenizer import Tokenizer

    _check_place(out)
    sources = resolve_sources(corpus)
    with progress("reading words", sum(source.num_bytes for source in sources) or None, "B") as bar:
        documents = read_raw_documents(sources, reading, bar.advance)
        lines = (line for document in documents for line in document.text.split("\n"))
        tokenizer = Tokenizer.train(
            lines,
            size,
            lowercase=not cased,
            min_frequency=min_frequency,
            limit_alphabet=limit_alphabet,
            follow=follow,
        )
    with atomic_folder(out) as folder:
        tokenizer.save_pretrained(folder)
    print(f"{tokenizer.vocab_size:,} entries: {out}")


def _check_place(out: Path) -> None:
    """The folder is replaced as a whole, so nothing else may lie in it."""
    from bertkit.text.tokenizer_folder import WORDPIECE_FILES

    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: name a folder for the tokenizer")
    if Path.cwd().is_relative_to(out.resolve()):
        raise InputError(f"{out} is the folder that you are in: name one for the tokenizer alone")
    others = sorted({entry.name for entry in out.iterdir()} - set(WORDPIECE_FILES)) if out.is_dir() else []
    if others:
        raise InputError(f"{out} holds more than a tokenizer ({others[0]}): choose a new folder")
