"""A WordPiece vocabulary from a corpus, written as a tokenizer folder."""

from __future__ import annotations

from pathlib import Path

from bertkit.core.arguments import checked
from bertkit.core.console import progress
from bertkit.core.outputs import output_folder
from bertkit.data.corpus.documents import read_raw_documents
from bertkit.data.corpus.options import CorpusOptions
from bertkit.data.readers.sources import HubDataset, Names, resolve_sources
from bertkit.text.tokenizer import Tokenizer
from bertkit.text.tokenizer_files import WORDPIECE_FILES
from bertkit.text.wordpiece import Reference


@checked
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
    overwrite: bool = False,
) -> Tokenizer:
    """Train a WordPiece vocabulary on files, folders, globs or hub data sets, and write the tokenizer's folder `out`.

    The same corpus gives the same files. Special tokens count among the `size` entries; a piece is merged where it
    occurs `min_frequency` times; at most `limit_alphabet` characters become entries. `follow` says whose tokenizer
    decides where Hugging Face's and google-research/bert's differ. `overwrite` replaces a tokenizer that is in `out`.
    Raises `InputError`.
    """
    sources = resolve_sources(corpus)
    read = [source.path for source in sources if not isinstance(source, HubDataset)]
    folder = output_folder(out, own=WORDPIECE_FILES, what="a tokenizer", inputs=read, overwrite=overwrite)
    with (
        folder as temporary,
        progress("reading words", sum(source.num_bytes for source in sources) or None, "B") as bar,
    ):
        documents = read_raw_documents(sources, reading or CorpusOptions(), bar.advance)
        tokenizer = Tokenizer.train(
            (line for document in documents for line in document.text.split("\n")),
            size,
            lowercase=not cased,
            min_frequency=min_frequency,
            limit_alphabet=limit_alphabet,
            follow=follow,
        )
        tokenizer.save_pretrained(temporary)
    return tokenizer
