"""- EncodedExample, SequenceBuilder, windows: the only [CLS]/[SEP] and truncation (also for drawn instances)."""
# S sequences, T tokens.
# n pieces, W windows.

from __future__ import annotations

from dataclasses import dataclass

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


def longest_first(first: _Lengths, second: _Lengths, room: int) -> tuple[_Lengths, _Lengths]:
    """Lengths (S,) of two segments that fit into `room` tokens, cutting the longer one first, as `tokenizers` does."""
    shorter, longer = np.minimum(first, second), np.maximum(first, second)
    fits, is_short = first + second <= room, 2 * shorter <= room
    shorter = np.where(fits | is_short, shorter, room // 2)
    longer = np.where(fits, longer, np.where(is_short, room - shorter, room - room // 2))
    first_is_shorter = first <= second
    return np.where(first_is_shorter, shorter, longer), np.where(first_is_shorter, longer, shorter)


@dataclass(frozen=True, kw_only=True)
class SequenceBuilder:
    """Joins the pieces of one or two segments: BERT's `[CLS] a [SEP] b [SEP]`, RoBERTa's `<s> a </s></s> b </s>`."""

    cls_token_id: int
    sep_token_id: int
    special_tokens: SpecialTokens = BERT

    def build(self, first: Pieces, second: Pieces | None, max_length: int | None) -> list[EncodedExample]:
        """Join S segments, or pairs of them, cut to `max_length` tokens with [CLS] and [SEP]. Raises `InputError`."""
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
        """Join S segments, or pairs of segments, as they are."""
        between = self.special_tokens.between
        lengths = first.lengths + 2 if second is None else first.lengths + second.lengths + 2 + between
        starts = run_starts(lengths)  # (S,)
        total = int(lengths.sum())  # T
        input_ids = np.full(total, self.sep_token_id, np.int32)
        token_type_ids = np.zeros(total, np.int8)
        offsets = np.zeros((total, 2), np.int32)
        input_ids[starts] = self.cls_token_id
        second_starts = starts + first.lengths + 1 + between
        segments = [(first, starts + 1)] if second is None else [(first, starts + 1), (second, second_starts)]
        for segment, places in segments:
            here = run_positions(places, segment.lengths)
            there = run_positions(segment.starts, segment.lengths)
            input_ids[here] = segment.ids[there]
            offsets[here] = segment.offsets[there]
        if second is not None:
            token_type_ids[run_positions(second_starts, second.lengths + 1)] = self.special_tokens.second_type
        stops = (starts + lengths).tolist()
        return [
            EncodedExample(input_ids[start:stop], token_type_ids[start:stop], offsets[start:stop])
            for start, stop in zip(starts.tolist(), stops, strict=True)
        ]


def window_starts(length: int, room: int, stride: int) -> list[int]:
    """Where windows of `room` pieces start so that all of `length` are covered; a single 0 for a short text."""
    stride = min(stride, room)
    return [0, *range(stride, max(0, length - room) + stride, stride)] if length > room else [0]


def maximum_context(starts: list[int], room: int, length: int) -> list[NDArray[np.bool_]]:
    """For each window which of its pieces have no more context in another one; each piece is in one window only.

    The context of a piece is the smaller number of pieces on its two sides; of equals the longer window, then the
    first, as google-research/bert counts it.
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
