"""Sentences with tags for their words as sequences with tags for their pieces."""
# N sentences, I windows, P pieces of all documents, W words of all documents, T tokens.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bertkit.core.arrays import run_positions, run_starts
from bertkit.core.lazy import lazy_module
from bertkit.tasks.contract import IGNORED, TaskInstances
from bertkit.tasks.options import Context
from bertkit.tasks.tagging.files import Sentence, Sentences
from bertkit.text.pieces import Pieces
from bertkit.text.sequences import maximum_context, window_starts
from bertkit.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")


_Integers = NDArray[np.int64]


def encode_sentences(
    sentences: Sentences,
    tokenizer: Tokenizer,
    places: Mapping[str, int],
    *,
    max_length: int,
    context: Context,
    labelled: bool,
) -> TaskInstances[Sentences]:
    """`[CLS] sentence [SEP]`, with as much of its document on both sides as fits if `context` is "document".

    The first piece of each of the sentence's words speaks for it; targets (T,) are `places` of the tags. A sentence
    of more than `max_length` tokens becomes windows that overlap by half.
    """
    documents = _Documents.of(sentences, tokenizer)
    room = max_length - 2
    owners: list[int] = []
    starts: list[int] = []
    stops: list[int] = []
    scored: list[NDArray[np.bool_]] = []
    for index, sentence in enumerate(sentences.items):
        bounds, first, last = documents.places_of(sentence)
        own = documents.is_first[first:last]
        offsets = window_starts(last - first, room, max(1, room // 2))
        for offset, best in zip(offsets, maximum_context(offsets, room, last - first), strict=True):
            start, stop = first + offset, first + offset + len(best)
            low, high = _with_context(start, stop, room, bounds) if context == "document" else (start, stop)
            row = np.zeros(high - low + 2, bool)
            row[1 + start - low : 1 + stop - low] = best & own[offset : offset + len(best)]
            owners.append(index)
            starts.append(low)
            stops.append(high)
            scored.append(row)
    lengths = np.array(stops, np.int64) - np.array(starts, np.int64)
    pieces = documents.pieces
    runs = Pieces(pieces.ids, pieces.offsets, np.array(starts, np.int64), lengths)
    speaking = np.concatenate(scored)
    targets, warnings = _targets(sentences, places, speaking) if labelled else (None, ())
    return TaskInstances(
        examples=sentences,
        sequences=tokenizer.join(runs),
        owners=np.array(owners, np.int64),
        bounds=np.arange(len(owners) + 1),
        reads_tokens=True,
        scored=speaking,
        targets=targets,
        has_row_targets=True,
        warnings=warnings,
    )


@dataclass(frozen=True, eq=False)
class _Documents:
    """The documents of the sentences, piece by piece and end to end."""

    pieces: Pieces
    """One run; no word is without a piece."""
    is_first: NDArray[np.bool_]
    """(P,) first piece of a word."""
    word_starts: _Integers
    """(W + 1,) first piece of each word."""
    first_words: Mapping[int, int]
    """Number of a document's first word, by the document's identity."""

    @classmethod
    def of(cls, sentences: Sentences, tokenizer: Tokenizer) -> _Documents:
        documents = {id(sentence.document): sentence.document for sentence in sentences.items}
        words = [word for document in documents.values() for word in document.words]
        numbers = {word: number for number, word in enumerate(dict.fromkeys(words))}
        # A space before a word is part of it in RoBERTa's vocabulary, and nothing in BERT's.
        distinct = tokenizer.pieces([f" {word}" for word in numbers])
        # A word of nothing but control characters has no piece; it gets [UNK], that none is lost.
        ids = np.append(distinct.ids, np.int32(tokenizer.unk_token_id))
        offsets = np.concatenate([distinct.offsets, np.zeros((1, 2), np.int32)])
        empty = distinct.lengths == 0
        starts = np.where(empty, len(distinct.ids), distinct.starts)
        lengths = np.where(empty, 1, distinct.lengths)
        chosen = np.fromiter(map(numbers.__getitem__, words), np.int64, len(words))  # (W,)
        places = run_positions(starts[chosen], lengths[chosen])  # (P,)
        word_starts = run_starts(lengths[chosen])
        is_first = np.zeros(len(places), bool)
        is_first[word_starts] = True
        counts = [len(document.words) for document in documents.values()]
        first_words = dict(zip(documents, run_starts(np.array(counts, np.int64)).tolist(), strict=True))
        whole = np.array([len(places)], np.int64)
        pieces = Pieces(ids[places], offsets[places], np.zeros(1, np.int64), whole)
        return cls(pieces, is_first, np.concatenate([word_starts, whole]), first_words)

    def places_of(self, sentence: Sentence) -> tuple[tuple[int, int], int, int]:
        """First piece and the one behind the last, of the document and of the sentence."""
        word = self.first_words[id(sentence.document)]
        low, high, first, last = self.word_starts[
            [word, word + len(sentence.document.words), word + sentence.first, word + sentence.last]
        ].tolist()
        return (low, high), first, last


def _with_context(start: int, stop: int, room: int, bounds: tuple[int, int]) -> tuple[int, int]:
    """The stretch with as much on both sides as there is room for, alike where the document allows it."""
    more = room - (stop - start)
    left = min(start - bounds[0], max(more // 2, more - (bounds[1] - stop)))
    return start - left, min(bounds[1], stop + more - left)


def _targets(
    sentences: Sentences, places: Mapping[str, int], speaking: NDArray[np.bool_]
) -> tuple[torch.Tensor, tuple[str, ...]]:
    """(T,), and what is to be said of tags that have no place."""
    tags = [(tag, sentence) for sentence in sentences.items for tag in sentence.tags or ()]
    targets = np.full(len(speaking), IGNORED, np.int64)
    targets[speaking] = [places.get(tag, IGNORED) for tag, _ in tags]
    strange = [(tag, sentence) for tag, sentence in tags if tag not in places]
    if not strange:
        return torch.from_numpy(targets), ()
    kinds = ", ".join(sorted({tag for tag, _ in strange})[:5])
    return torch.from_numpy(targets), (
        f"{len(strange):,} words have tags that training lacks ({kinds}): scored as missed (the first: "
        f"{strange[0][1].place})",
    )
