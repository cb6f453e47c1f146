"""Sequences as a model reads them: special tokens around segments, truncation, windows of long texts.

The one place where [CLS] and [SEP] are put around token ids, for texts that are encoded and for a corpus's instances.
"""
# B sequences, S segments, T tokens.
# n pieces of a text.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.core.arrays import run_positions, run_starts
from bertkit.core.errors import InputError
from bertkit.text.pieces import Pieces
from bertkit.text.wordpiece import BERT, SpecialTokens


@dataclass(frozen=True, slots=True, eq=False)
class EncodedExample:
    """One sequence as the model reads it: `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`, n tokens."""

    input_ids: NDArray[np.int32]
    """(n,) vocabulary ids."""

    token_type_ids: NDArray[np.int8]
    """(n,) 0 for the first segment and its [CLS] and [SEP], 1 for the second segment and its [SEP]."""

    offsets: NDArray[np.int32]
    """(n, 2) where each token starts and ends, in characters of its segment's text; (0, 0) for added tokens."""

    def __len__(self) -> int:
        return len(self.input_ids)


_Lengths = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SequenceLayout:
    """Places of segments in sequences end to end: a [CLS] starts each sequence, a [SEP] follows each segment.

    Each of the B sequences has `counts` (B,) segments, one at least; `segments` (S,) are the lengths of all of them.
    There are `between` [SEP] between two segments.
    """

    segments: _Lengths
    counts: _Lengths
    between: int = 1

    @classmethod
    def of(cls, parts: Sequence[_Lengths], between: int = 1) -> SequenceLayout:
        """Every sequence with a segment of each part, (B,) lengths each: one part for texts, two for pairs."""
        return cls(np.stack(parts, 1).ravel(), np.full(len(parts[0]), len(parts)), between)

    @cached_property
    def lengths(self) -> _Lengths:
        """(B,) tokens of each sequence."""
        return np.add.reduceat(self.segments, run_starts(self.counts)) + 2 + (self.counts - 1) * self.between

    @property
    def num_tokens(self) -> int:
        """T."""
        return int(self.lengths.sum())

    @cached_property
    def starts(self) -> _Lengths:
        """(B,) where each sequence starts, and so its [CLS]."""
        return run_starts(self.lengths)

    @cached_property
    def segment_starts(self) -> _Lengths:
        """(S,) where each segment starts."""
        # In front of it are a [CLS] for each sequence up to its own, and every earlier segment with its [SEP].
        behind = np.full(len(self.segments), self.between)
        behind[self._last] = 1
        return run_starts(self.segments + behind) + np.repeat(np.arange(1, len(self.counts) + 1), self.counts)

    def is_special(self) -> NDArray[np.bool_]:
        """(T,) where [CLS] and [SEP] are."""
        special = np.zeros(self.num_tokens, bool)
        ends = self.segment_starts + self.segments
        special[self.starts] = special[ends] = True
        for place in range(1, self.between):
            special[np.delete(ends, self._last) + place] = True
        return special

    def special_ids(self, cls_token_id: int, sep_token_id: int, dtype: type[np.signedinteger]) -> NDArray[Any]:
        """(T,) with [CLS] in its places and [SEP] everywhere else, for the segments to be written into."""
        input_ids = np.full(self.num_tokens, sep_token_id, dtype)
        input_ids[self.starts] = cls_token_id
        return input_ids

    def token_types(self, second_type: int, dtype: type[np.signedinteger]) -> NDArray[Any]:
        """(T,) token types of pairs, or of single segments: `second_type` in a second segment and its [SEP], else 0."""
        if len(self.segments) == len(self.counts) or not second_type:
            return np.zeros(self.num_tokens, dtype)
        second = self.segments[1::2] + 1
        types = np.tile(np.array([0, second_type], dtype), len(second))
        return np.repeat(types, np.stack([self.lengths - second, second], 1).ravel())

    @cached_property
    def _last(self) -> NDArray[np.int64]:
        """(B,) the number of each sequence's last segment."""
        return np.cumsum(self.counts) - 1


def longest_first(first: _Lengths, second: _Lengths, room: int) -> tuple[_Lengths, _Lengths]:
    """Lengths (B,) of two segments that fit into `room` tokens, cutting the longer one first, as `tokenizers` does."""
    shorter, longer = np.minimum(first, second), np.maximum(first, second)
    fits, is_short = first + second <= room, 2 * shorter <= room
    shorter = np.where(fits | is_short, shorter, room // 2)
    longer = np.where(fits, longer, np.where(is_short, room - shorter, room - room // 2))
    first_is_shorter = first <= second
    return np.where(first_is_shorter, shorter, longer), np.where(first_is_shorter, longer, shorter)


def longest_first_by_token(first: _Lengths, second: _Lengths, room: int) -> tuple[_Lengths, _Lengths]:
    """The same as google-research/bert does it: one token at a time, off the second where both are equally long."""
    excess = np.maximum(first + second - room, 0)
    first_levelled = np.minimum(excess, np.maximum(first - second, 0))
    second_levelled = np.minimum(excess, np.maximum(second - first, 0))
    both = excess - first_levelled - second_levelled  # taken in turn, off the second first
    return first - first_levelled - both // 2, second - second_levelled - (both + 1) // 2


@dataclass(frozen=True, kw_only=True)
class SequenceBuilder:
    """Joins the pieces of one or two segments: BERT's `[CLS] a [SEP] b [SEP]`, RoBERTa's `<s> a </s></s> b </s>`."""

    cls_token_id: int
    sep_token_id: int
    special_tokens: SpecialTokens = BERT

    def build(self, first: Pieces, second: Pieces | None, max_length: int | None) -> list[EncodedExample]:
        """Join B segments, or pairs of them, cut to `max_length` tokens with [CLS] and [SEP]. Raises `InputError`."""
        if max_length is None:
            return self.join(first, second)
        names = self.special_tokens
        room = max_length - (2 if second is None else 2 + names.between)
        if room < 0:
            raise InputError(
                f"max_length {max_length} has no room for {names.cls} and {names.sep}: give at least "
                f"{max_length - room}"
            )
        if second is None:
            return self.join(first.cut(room))
        lengths = longest_first(first.lengths, second.lengths, room)
        return self.join(first.cut(lengths[0]), second.cut(lengths[1]))

    def join(self, first: Pieces, second: Pieces | None = None) -> list[EncodedExample]:
        """Join B segments, or pairs of segments, as they are."""
        parts = [first] if second is None else [first, second]
        layout = SequenceLayout.of([part.lengths for part in parts], self.special_tokens.between)
        input_ids = layout.special_ids(self.cls_token_id, self.sep_token_id, np.int32)
        offsets = np.zeros((len(input_ids), 2), np.int32)
        for number, part in enumerate(parts):
            here = run_positions(layout.segment_starts[number :: len(parts)], part.lengths)
            there = run_positions(part.starts, part.lengths)
            input_ids[here] = part.ids[there]
            offsets[here] = part.offsets[there]
        token_type_ids = layout.token_types(self.special_tokens.second_type, np.int8)
        return [
            EncodedExample(input_ids[start:stop], token_type_ids[start:stop], offsets[start:stop])
            for start, stop in zip(layout.starts.tolist(), (layout.starts + layout.lengths).tolist(), strict=True)
        ]


def window_starts(length: int, room: int, stride: int) -> list[int]:
    """Where windows of `room` pieces start so that all of `length` are covered; a single 0 for a short text."""
    stride = min(stride, room)
    return [0, *range(stride, max(0, length - room) + stride, stride)] if length > room else [0]


def maximum_context(starts: list[int], room: int, length: int) -> list[NDArray[np.bool_]]:
    """For each window, which of its pieces have their largest context there; each piece belongs to one window.

    The context of a piece is the number of pieces on its shorter side; ties go to the longer window, then to the first,
    as in google-research/bert.
    """
    if len(starts) == 1:
        return [np.ones(length, bool)]
    best = np.full(length, -np.inf)
    owner = np.full(length, -1)
    for number, start in enumerate(starts):
        stop = min(start + room, length)
        places = np.arange(stop - start)
        context = np.minimum(places, places[::-1]) + 0.01 * (stop - start)
        better = context > best[start:stop]
        best[start:stop][better] = context[better]
        owner[start:stop][better] = number
    return [owner[start : start + room] == number for number, start in enumerate(starts)]
