"""Statistics of a prepared corpus."""
# V vocabulary, N tokens, S sentences, D documents, I instances.

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertkit.core.randomness import derive_key, generator
from bertkit.core.workers import process_engine
from bertkit.data.corpus.dedup import ShardSet, find_duplicates
from bertkit.data.corpus.hashing import write_shard_hashes
from bertkit.data.corpus.manifest import Duplicates
from bertkit.data.corpus.options import DuplicateOptions
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.data.instances.options import InstanceOptions
from bertkit.data.instances.sampling import plan_epoch
from bertkit.text.vocabulary import WordEntries

_MOST_PIECES = 12
_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Distribution of lengths: mean, quantiles, and counts by powers of two."""

    mean: float
    median: float
    percentile_90: float
    percentile_99: float
    longest: int
    counts: tuple[int, ...]
    """Entry k counts lengths from 2**k up to 2**(k + 1)."""

    @classmethod
    def of(cls, lengths: NDArray[np.int64]) -> Lengths:
        """Measure lengths of at least 1."""
        median, percentile_90, percentile_99 = np.percentile(lengths, [50, 90, 99]).tolist()
        return cls(
            mean=float(lengths.mean()),
            median=median,
            percentile_90=percentile_90,
            percentile_99=percentile_99,
            longest=int(lengths.max()),
            counts=tuple(np.bincount(np.log2(lengths).astype(np.int64)).tolist()),
        )


@dataclass(frozen=True, kw_only=True)
class SequenceFigures:
    """The sequences of an epoch at one length."""

    seq_length: int
    instances: int
    next_sentence: bool
    """Whether they are pairs, which a corpus of one document does not have."""
    random_share: float
    """Share of pairs whose second segment is random."""
    mean_tokens: float
    padding: float
    """Share of [PAD] if all sequences were padded to the full length."""
    batch_padding: float
    """The same if random batches of 32 were padded to their longest sequence."""


@dataclass(frozen=True, kw_only=True)
class CorpusFigures:
    """All that `bertkit doctor` reports of a corpus."""

    documents: int
    sentences: int
    tokens: int
    vocab_size: int
    entries_used: int
    words: int
    fertility: float
    """Pieces a word; punctuation marks are not words."""
    pieces_of_words: tuple[int, ...]
    """Words of one piece, of two, ..., of twelve or more."""
    unknown_share: float
    """Share of [UNK] among the tokens."""
    unknown_sentences: float
    """Share of the sentences with at least one."""
    unigram_entropy: float
    """Entropy of the tokens in nats: the masked-LM loss of a model that only knows frequencies."""
    most_frequent: tuple[tuple[str, float], ...]
    """Entries and their shares; the first is the accuracy of always guessing it."""
    frequencies: tuple[int, ...]
    """Counts of the entries at ranks 1, 2, 4, 8, ..."""
    duplicates: Duplicates
    """What repeats in the folder; the `dropped_` counts are what `prepare` left out."""
    sentence_tokens: Lengths
    document_sentences: Lengths
    document_tokens: Lengths
    sequences: tuple[SequenceFigures, ...]


def corpus_figures(corpus: PreparedCorpus, seq_lengths: Sequence[int] = (128, 512)) -> CorpusFigures:
    """Read all tokens once; memory holds the bounds of sentences and documents, and a shard."""
    tokenizer = corpus.tokenizer
    entries = WordEntries.of(tokenizer.wordpiece.vocabulary)
    counts = np.zeros(corpus.vocab_size, np.int64)
    pieces = np.zeros(_MOST_PIECES + 1, np.int64)
    word_pieces = unknown_sentences = 0
    for start, stop in zip(corpus.shard_tokens[:-1].tolist(), corpus.shard_tokens[1:].tolist(), strict=True):
        ids = corpus.tokens(start, stop)
        counts += np.bincount(ids, minlength=corpus.vocab_size)
        kept, bounds, _ = entries.words(ids)
        word_pieces += len(kept)
        pieces += np.bincount(np.minimum(np.diff(bounds), _MOST_PIECES), minlength=_MOST_PIECES + 1)
        unknown = start + np.flatnonzero(ids == tokenizer.unk_token_id)
        unknown_sentences += len(np.unique(np.searchsorted(corpus.sentence_tokens, unknown, side="right")))
    words = int(pieces.sum())
    ranked = np.argsort(-counts, kind="stable")
    shares = counts[counts > 0] / corpus.num_tokens
    return CorpusFigures(
        documents=corpus.num_documents,
        sentences=corpus.num_sentences,
        tokens=corpus.num_tokens,
        vocab_size=corpus.vocab_size,
        entries_used=int(np.count_nonzero(counts)),
        words=words,
        fertility=word_pieces / max(1, words),
        pieces_of_words=tuple(pieces[1:].tolist()),
        unknown_share=float(counts[tokenizer.unk_token_id]) / corpus.num_tokens,
        unknown_sentences=unknown_sentences / corpus.num_sentences,
        unigram_entropy=float(-(shares * np.log(shares)).sum()),
        most_frequent=tuple((tokenizer.id_to_token(i), float(counts[i]) / corpus.num_tokens) for i in ranked[:10]),
        frequencies=tuple(counts[ranked[2 ** np.arange(int(np.log2(len(counts))) + 1) - 1]].tolist()),
        duplicates=_duplicates(corpus),
        sentence_tokens=Lengths.of(np.diff(corpus.sentence_tokens)),
        document_sentences=Lengths.of(np.diff(corpus.document_sentences)),
        document_tokens=Lengths.of(np.diff(corpus.sentence_tokens[corpus.document_sentences])),
        sequences=tuple(_sequences(corpus, seq_length) for seq_length in seq_lengths),
    )


def _duplicates(corpus: PreparedCorpus) -> Duplicates:
    """Count again: older folders have no counts, and those of `prepare` are of the text before filtering."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shards = ShardSet(folder=corpus.folder, work=work, records=corpus.manifest.shards)
        for record in shards.records:
            write_shard_hashes(corpus.folder, work, record.name, near=False)
        with process_engine(1) as engine:
            found = find_duplicates(shards, DuplicateOptions(), work / "left-out.npy", engine)
    recorded = corpus.manifest.duplicates
    if recorded is None:
        return found
    return replace(
        found,
        dropped_documents=recorded.dropped_documents,
        dropped_sentences=recorded.dropped_sentences,
        dropped_tokens=recorded.dropped_tokens,
    )


def _sequences(corpus: PreparedCorpus, seq_length: int) -> SequenceFigures:
    options = InstanceOptions(seq_length=seq_length, next_sentence=corpus.num_documents > 1)
    plan = plan_epoch(corpus, options, seed=0, epoch=0)
    lengths = plan.a_length + plan.b_length + options.num_special_tokens  # (I,)
    shuffled = generator(derive_key(0, "padding")).permutation(lengths)
    starts = np.arange(0, len(shuffled), _BATCH)
    longest, sizes = np.maximum.reduceat(shuffled, starts), np.diff(starts, append=len(shuffled))
    return SequenceFigures(
        seq_length=seq_length,
        instances=len(lengths),
        next_sentence=options.next_sentence,
        random_share=float(plan.is_random.mean()),
        mean_tokens=float(lengths.mean()),
        padding=1 - float(lengths.mean()) / seq_length,
        batch_padding=1 - float(lengths.sum() / (longest * sizes).sum()),
    )
