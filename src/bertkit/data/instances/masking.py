"""Which tokens are hidden for masked-LM training, drawn for every sequence of every epoch."""
# T tokens, B sequences, C candidates (tokens that may be masked), M masked positions, W words.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertkit.core.arrays import run_positions, run_starts
from bertkit.core.randomness import derive_key, uniforms
from bertkit.data.instances.options import MaskingOptions
from bertkit.text.tokenizer import Tokenizer

_PLACE_BITS = 14
"""Bits of a token's position in its sequence."""

_DRAW_BITS = 64 - _PLACE_BITS


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskingVocabulary:
    """What masking needs of the vocabulary; `continuation` bool (V,) marks the '##' pieces."""

    mask_token_id: int
    continuation: NDArray[np.bool_]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> MaskingVocabulary:
        """That of a tokenizer."""
        return cls(mask_token_id=tokenizer.mask_token_id, continuation=tokenizer.continuation_mask())


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskedTokens:
    """`input_ids` int64 (T,) after masking; `positions` (M,), ascending, and `labels` (M,), the ids before."""

    input_ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    labels: NDArray[np.int64]


def mask_tokens(
    input_ids: NDArray[np.int64],
    lengths: NDArray[np.int64],
    is_special: NDArray[np.bool_],
    *,
    numbers: NDArray[np.int64],
    key: int,
    options: MaskingOptions,
    vocabulary: MaskingVocabulary,
) -> MaskedTokens:
    """Mask packed sequences: `input_ids` and `is_special` (T,), `lengths` (B,).

    Draws depend on `key` and a sequence's entry of `numbers` (B,), not on the other sequences.
    """
    assert np.max(lengths, initial=0) <= 1 << _PLACE_BITS
    limit = np.inf if options.max_predictions is None else options.max_predictions
    wanted = np.minimum(np.maximum(np.rint(options.select_rate * lengths), 1), limit).astype(np.int64)  # (B,)
    starts = run_starts(lengths)
    candidates = np.flatnonzero(~is_special)  # (C,)
    sequence = np.repeat(np.arange(len(lengths)), lengths)[candidates]
    counters = (numbers[sequence] << _PLACE_BITS | (candidates - starts[sequence])).astype(np.uint64)

    if options.whole_word:
        chosen = _choose_words(input_ids, candidates, sequence, counters, wanted, key, vocabulary.continuation)
    else:
        chosen = _choose_tokens(sequence, counters, wanted, key)
    positions = candidates[chosen]
    labels = input_ids[positions]

    draws = uniforms(derive_key(key, "replacement"), counters[chosen])
    vocab_size = len(vocabulary.continuation)
    random_ids = (uniforms(derive_key(key, "random token"), counters[chosen]) * vocab_size).astype(np.int64)
    replacements = np.where(draws < options.mask_rate + options.random_rate, random_ids, labels)
    masked = input_ids.copy()
    masked[positions] = np.where(draws < options.mask_rate, vocabulary.mask_token_id, replacements)
    return MaskedTokens(input_ids=masked, positions=positions, labels=labels)


def _choose_tokens(
    sequence: NDArray[np.int64], counters: NDArray[np.uint64], wanted: NDArray[np.int64], key: int
) -> NDArray[np.int64]:
    """Indices into the candidates, ascending: `wanted` (B,) of each sequence, or all where there are fewer."""
    counts = np.bincount(sequence, minlength=len(wanted))
    starts = run_starts(counts)
    order = _random_order(sequence, counts, uniforms(key, counters))  # (B, most candidates of a sequence)
    chosen = np.zeros(len(sequence), bool)
    taken = np.arange(order.shape[1]) < np.minimum(wanted, counts)[:, None]
    chosen[(starts[:, None] + order)[taken]] = True
    return np.flatnonzero(chosen)


def _choose_words(
    input_ids: NDArray[np.int64],
    candidates: NDArray[np.int64],
    sequence: NDArray[np.int64],
    counters: NDArray[np.uint64],
    wanted: NDArray[np.int64],
    key: int,
    continuation: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Indices into the candidates, ascending: whole words in random order, skipping those that exceed `wanted`."""
    # A '##' piece at the start of a segment, whose word was cut, counts as a word.
    begins = ~continuation[input_ids[candidates]]
    begins[:1] = True
    begins[1:] |= np.diff(candidates) > 1
    word_starts = np.flatnonzero(begins)  # (W,)
    sizes = np.diff(word_starts, append=len(candidates))
    word_sequence = sequence[word_starts]
    counts = np.bincount(word_sequence, minlength=len(wanted))
    starts = run_starts(counts)
    order = _random_order(word_sequence, counts, uniforms(key, counters[word_starts]))  # (B, most words of a sequence)

    left = wanted.copy()
    taken = np.zeros(len(word_starts), bool)
    for turn in range(order.shape[1]):  # all sequences take their next word at the same time
        active = np.flatnonzero((left > 0) & (turn < counts))
        if not len(active):
            break
        words = starts[active] + order[active, turn]
        fits = sizes[words] <= left[active]
        taken[words[fits]] = True
        left[active[fits]] -= sizes[words[fits]]
    return np.flatnonzero(np.repeat(taken, sizes))


def _random_order(
    sequence: NDArray[np.int64], counts: NDArray[np.int64], draws: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Items (n,), `counts` (B,) of them in each sequence, in the order of their draws (n,).

    Returns (B, max(counts)): the items' places in their sequence, smallest draw first; what follows the last is void.
    """
    place = run_positions(0, counts)
    keys = np.full((len(counts), np.max(counts, initial=0)), np.iinfo(np.uint64).max)
    keys[sequence, place] = (draws * 2.0**_DRAW_BITS).astype(np.uint64) << _PLACE_BITS | place.astype(np.uint64)
    keys.sort(axis=1)  # NumPy sorts many short rows of plain numbers ten times faster than one long row of indices
    return (keys & np.uint64((1 << _PLACE_BITS) - 1)).astype(np.int64)
