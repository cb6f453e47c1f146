"""`bertkit prepare`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bertkit.data.corpus import CorpusOptions


def prepare(
    *corpus: str,
    tokenizer: Path,
    out: Path,
    workers: int | None = None,
    overwrite: bool = False,
    reading: Annotated[CorpusOptions, Parameter(name="*")] = CorpusOptions(),
) -> None:
    """Turn a corpus into memory-mapped shards of token ids; the same files for any number of workers.

    Parameters
    ----------
    corpus
        Files (.txt, .jsonl, .csv, .tsv, .parquet, also .gz, .xz, .zst), folders, globs or hub data sets.
    tokenizer
        Folder that `bertkit vocab` wrote, a model folder, or a vocab.txt.
    out
        Folder for the shards and manifest.json.
    workers
        Processes that tokenise; one a processor unless given.
    overwrite
        Replace what was prepared in OUT from another corpus or with other options.
    """
    from bertkit.data.prepare import PrepareOptions
    from bertkit.data.prepare import prepare as prepare_corpus
    from bertkit.text.tokenizer import Tokenizer

    options = PrepareOptions(corpus=reading, workers=workers or os.cpu_count() or 1, overwrite=overwrite)
    manifest = prepare_corpus(corpus, Tokenizer.from_pretrained(tokenizer), out, options)
    print(
        f"{manifest.documents:,} documents, {manifest.sentences:,} sentences, {manifest.tokens:,} tokens "
        f"in {len(manifest.shards):,} shards: {out}"
    )
