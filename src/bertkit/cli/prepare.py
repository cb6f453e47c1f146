"""`bertkit prepare`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bertkit.data.corpus import CorpusOptions
from bertkit.data.static_options import StaticOptions
from bertkit.foundation.errors import InputError


def prepare(
    *corpus: str,
    tokenizer: Path,
    out: Path,
    workers: int | None = None,
    overwrite: bool = False,
    reading: Annotated[CorpusOptions, Parameter(name="*")] = CorpusOptions(),
    static: bool = False,
    fixed: Annotated[StaticOptions, Parameter(name="*", group="With --static")] = StaticOptions(),
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
    static
        Write masked training sequences, fixed once for all, in place of text to draw from: the stream of
        google-research/bert's create_pretraining_data.py.
    """
    from bertkit.data.prepare import PrepareOptions
    from bertkit.data.prepare import prepare as prepare_corpus
    from bertkit.data.prepare_static import prepare_static
    from bertkit.text.tokenizer import Tokenizer

    options = PrepareOptions(corpus=reading, workers=workers or os.cpu_count() or 1, overwrite=overwrite)
    pieces = Tokenizer.from_pretrained(tokenizer)
    if static:
        made = prepare_static(corpus, pieces, out, options, fixed)
        print(f"{made.instances:,} instances, {made.tokens:,} tokens, {made.predictions:,} predictions: {out}")
        return
    if fixed != StaticOptions():
        raise InputError("--seq-length, --dupe-factor and the options of cutting and masking need --static")
    manifest = prepare_corpus(corpus, pieces, out, options)
    print(
        f"{manifest.documents:,} documents, {manifest.sentences:,} sentences, {manifest.tokens:,} tokens "
        f"in {len(manifest.shards):,} shards: {out}"
    )
