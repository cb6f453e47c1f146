"""The one place that truncates and adds [CLS] and [SEP]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bertkit.foundation.errors import InputError
from bertkit.text.encoded_example import EncodedExample
from bertkit.text.pieces import Pieces


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Lengths of two segments that fit into `room` tokens, cutting the longer one first, as `tokenizers` does."""
    if first + second <= room:
        return first, second
    shorter, longer = sorted((first, second))
    if 2 * shorter <= room:
        longer = room - shorter
    else:
        shorter, longer = room // 2, room - room // 2
    return (shorter, longer) if first <= second else (longer, shorter)


@dataclass(frozen=True, kw_only=True)
class SequenceBuilder:
    """Joins the pieces of one or two segments into `[CLS] a [SEP] b [SEP]`."""

    cls_token_id: int
    sep_token_id: int

    def build(self, first: Any, second: Any | None, max_length: int | None) -> EncodedExample:
        """Join the library's encodings; `max_length` counts [CLS] and [SEP]. Raises `InputError`."""
        added = 2 if second is None else 3
        lengths = len(first), 0 if second is None else len(second)
        if max_length is not None:
            if max_length < added:
                raise InputError(f"max_length {max_length} has no room for [CLS] and [SEP]: give at least {added}")
            lengths = longest_first(*lengths, max_length - added)
        return self.join(pieces_of(first, lengths[0]), None if second is None else pieces_of(second, lengths[1]))

    def join(self, first: Pieces, second: Pieces | None = None) -> EncodedExample:
        """Join segments as they are."""
        a, b = len(first), 0 if second is None else len(second)
        total = a + b + (2 if second is None else 3)
        input_ids = np.empty(total, np.int32)
        token_type_ids = np.zeros(total, np.int8)
        offsets = np.zeros((total, 2), np.int32)
        input_ids[0] = self.cls_token_id
        input_ids[1 : 1 + a] = first.ids
        input_ids[1 + a] = self.sep_token_id
        offsets[1 : 1 + a] = first.offsets
        if second is not None:
            start = a + 2
            input_ids[start : start + b] = second.ids
            input_ids[start + b] = self.sep_token_id
            token_type_ids[start:] = 1
            offsets[start : start + b] = second.offsets
        return EncodedExample(input_ids, token_type_ids, offsets)


def pieces_of(encoding: Any, length: int | None = None) -> Pieces:
    """The first `length` pieces of the library's encoding, or all."""
    ids = np.array(encoding.ids[:length], np.int32)
    return Pieces(ids, np.array(encoding.offsets[:length], np.int32).reshape(len(ids), 2))
