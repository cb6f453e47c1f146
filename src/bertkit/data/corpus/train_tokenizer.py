"""A WordPiece vocabulary from a corpus, written as a tokenizer folder."""

from __future__ import annotations

from pathlib import Path

from bertkit.core.console import progress
from bertkit.core.errors import InputError
from bertkit.core.files import atomic_folder
from bertkit.data.corpus.documents import read_raw_documents
from bertkit.data.corpus.options import CorpusOptions
from bertkit.data.readers.sources import Names, resolve_sources
from bertkit.text.tokenizer import Tokenizer
from bertkit.text.tokenizer_files import WORDPIECE_FILES
from bertkit.text.wordpiece import Reference


def train_tokenizer(
    corpus: Names,
    out: str | Path,
    *,
    size: int = 30522,
    cased: bool = False,
    min_frequency: int = 2,
    limit_alphabet: int = 1000,
    follow: Reference = "huggingface",
    reading: CorpusOptions | None = None,
) -> Tokenizer:
    """Train a WordPiece vocabulary on files, folders, globs or hub data sets, and write the tokenizer's folder `out`.

    The same corpus gives the same files. Special tokens count among the `size` entries; a piece is merged where it
    occurs `min_frequency` times; at most `limit_alphabet` characters become entries. `follow` says whose tokenizer
    decides where Hugging Face's and google-research/bert's differ. Raises `InputError`.
    """
    out = Path(out)
    _check_place(out)
    sources = resolve_sources(corpus)
    with progress("reading words", sum(source.num_bytes for source in sources) or None, "B") as bar:
        documents = read_raw_documents(sources, reading or CorpusOptions(), bar.advance)
        tokenizer = Tokenizer.train(
            (line for document in documents for line in document.text.split("\n")),
            size,
            lowercase=not cased,
            min_frequency=min_frequency,
            limit_alphabet=limit_alphabet,
            follow=follow,
        )
    with atomic_folder(out) as folder:
        tokenizer.save_pretrained(folder)
    return tokenizer


def _check_place(out: Path) -> None:
    """The folder is replaced as a whole, so nothing else may be in it."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: name a folder for the tokenizer")
    if Path.cwd().is_relative_to(out.resolve()):
        raise InputError(f"{out} is the current folder: name one for the tokenizer alone")
    others = sorted({entry.name for entry in out.iterdir()} - set(WORDPIECE_FILES)) if out.is_dir() else []
    if others:
        raise InputError(f"{out} holds more than a tokenizer ({others[0]}): choose a new folder")
