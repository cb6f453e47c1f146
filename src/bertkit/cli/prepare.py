"""`bertkit prepare` and `bertkit vocab`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from bertkit.core.console import counted, say
from bertkit.core.errors import InputError
from bertkit.core.workers import EngineOptions, MachineShard
from bertkit.data.corpus.options import CorpusOptions, DuplicateOptions, PrepareOptions
from bertkit.data.instances.options import StaticOptions

if TYPE_CHECKING:
    from bertkit.data.corpus.manifest import Manifest


def prepare(
    *corpus: str,
    tokenizer: Path | None = None,
    out: Path,
    workers: int | None = None,
    overwrite: bool = False,
    reading: Annotated[CorpusOptions, Parameter(name="*")] = CorpusOptions(),
    duplicates: Annotated[DuplicateOptions, Parameter(name="*", group="Repeated text")] = DuplicateOptions(),
    shard: Annotated[str | None, Parameter(group="Many machines")] = None,
    merge: Annotated[bool, Parameter(group="Many machines", negative="")] = False,
    engine: Annotated[EngineOptions, Parameter(name="*", group="Many machines")] = EngineOptions(),
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
        Processes that tokenise; unless given, one per CPU core.
    overwrite
        Replace what is in OUT and was prepared from another corpus or with other options.
    shard
        Prepare one machine's part, such as 2/4: give the same command on four machines, each with its part.
    merge
        Finish OUT, which holds all parts; needs neither corpus nor tokenizer.
    static
        Write training sequences that are masked once and stay the same in every epoch, as google-research/bert's
        create_pretraining_data.py does, instead of text from which each epoch draws new ones.
    """
    from bertkit.data.corpus.parts import merge_parts, prepare_part
    from bertkit.data.corpus.prepare import prepare as prepare_corpus
    from bertkit.data.instances.google_files import prepare_static
    from bertkit.text.tokenizer import Tokenizer

    options = PrepareOptions(
        corpus=reading,
        duplicates=duplicates,
        engine=engine,
        workers=(os.cpu_count() or 1) if workers is None else workers,
        overwrite=overwrite,
    )
    if static and (merge or shard is not None):
        raise InputError("--static draws all instances from one stream, in one process: leave out --shard and --merge")
    if not static and fixed != StaticOptions():
        raise InputError("--seq-length, --dupe-factor and the options of cutting and masking need --static")
    if merge:
        given = corpus or overwrite or tokenizer is not None or shard is not None or duplicates.any
        if given or reading != CorpusOptions():
            raise InputError("--merge takes all from the parts in OUT: leave out everything but --out and --workers")
        _say(merge_parts(out, options), out)
        return
    if tokenizer is None:
        raise InputError("--tokenizer is missing: give the folder that `bertkit vocab` wrote, or a model folder")
    pieces = Tokenizer.from_pretrained(tokenizer)
    if static:
        made = prepare_static(corpus, pieces, out, options, fixed)
        parts = (
            counted(made.instances, "instance"),
            counted(made.tokens, "token"),
            counted(made.predictions, "prediction"),
        )
        say(f"{', '.join(parts)}: {out}")
    elif shard is not None:
        records = prepare_part(corpus, pieces, out, MachineShard.parse(shard), options)
        if records is not None:
            tokens = sum(record.tokens for record in records)
            say(f"{counted(tokens, 'token')} in {counted(len(records), 'shard')}: part {shard} of {out}")
    else:
        _say(prepare_corpus(corpus, pieces, out, options), out)


def _say(manifest: Manifest, out: Path) -> None:
    say(
        f"{counted(manifest.documents, 'document')}, {counted(manifest.sentences, 'sentence')}, "
        f"{counted(manifest.tokens, 'token')} in {counted(len(manifest.shards), 'shard')}: {out}"
    )
    found = manifest.duplicates
    if found is None:
        return
    near = "" if found.near_documents is None else f", {counted(found.near_documents, 'document')} like an earlier one"
    say(f"{counted(found.sentences, 'sentence')} and {counted(found.documents, 'document')} repeat earlier text{near}")
    if found.dropped_sentences:
        say(
            f"left out: {counted(found.dropped_documents, 'document')}, "
            f"{counted(found.dropped_sentences, 'sentence')} and {counted(found.dropped_tokens, 'token')}"
        )


def vocab(
    *corpus: str,
    out: Path,
    size: int = 30522,
    cased: bool = False,
    min_frequency: int = 2,
    limit_alphabet: int = 1000,
    follow: Literal["huggingface", "google"] = "huggingface",
    reading: Annotated[CorpusOptions, Parameter(name="*")] = CorpusOptions(),
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Train a WordPiece vocabulary; the same corpus gives the same files.

    Parameters
    ----------
    corpus
        Files (.txt, .jsonl, .csv, .tsv, .parquet, also .gz, .xz, .zst), folders, globs or hub data sets.
    out
        Folder for tokenizer.json, tokenizer_config.json and vocab.txt.
    size
        Number of entries, with special tokens.
    cased
        Keep case and accents.
    min_frequency
        How often a piece must occur to become an entry.
    limit_alphabet
        How many single characters become entries at most.
    follow
        Which tokenizer to follow in the rare cases where they differ: Hugging Face's or google-research/bert's.
    overwrite
        Replace the tokenizer that is in OUT.
    """
    from bertkit.data.corpus.train_tokenizer import train_tokenizer

    tokenizer = train_tokenizer(
        corpus,
        out,
        size=size,
        cased=cased,
        min_frequency=min_frequency,
        limit_alphabet=limit_alphabet,
        follow=follow,
        reading=reading,
        overwrite=overwrite,
    )
    say(f"{tokenizer.vocab_size:,} entries: {out}")
