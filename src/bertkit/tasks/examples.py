"""Examples of any kind: what they must offer, how some are held out, and a warning about those that are cut."""
# N examples.

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from bertkit.core.errors import InputError
from bertkit.core.randomness import derive_key, generator
from bertkit.text.sequences import EncodedExample
from bertkit.text.tokenizer import Tokenizer

Indices = Sequence[int] | NDArray[np.int64]


class Examples(Protocol):
    """N examples, with or without labels."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was found odd on reading, counted, a line each."""

    def __len__(self) -> int: ...

    def place(self, index: int) -> str:
        """File and row of an example, for messages."""

    def take(self, indices: Indices) -> Self:
        """The examples at `indices`, in that order."""

    def record(self, index: int) -> dict[str, Any]:
        """The example as a line of JSON shows it beside its prediction."""

    def marked_text(self, index: int) -> str:
        """The text in which a prediction's marks are places."""


class Record(Protocol):
    """One example of a kind that has a type for it."""

    @property
    def place(self) -> str:
        """File and row."""

    @property
    def marked_text(self) -> str:
        """The text that spans are places in."""

    def record(self) -> dict[str, Any]:
        """What a line of JSON shows."""


RecordT = TypeVar("RecordT", bound=Record)


@dataclass(frozen=True)
class Records(Generic[RecordT]):
    """`Examples` whose every example is one object."""

    items: tuple[RecordT, ...]
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def place(self, index: int) -> str:
        """File and row of an example."""
        return self.items[index].place

    def take(self, indices: Indices) -> Self:
        """The examples at `indices`, in that order."""
        return replace(self, items=tuple(self.items[index] for index in indices))

    def record(self, index: int) -> dict[str, Any]:
        """What a line of JSON shows."""
        return self.items[index].record()

    def marked_text(self, index: int) -> str:
        """The text that spans are places in."""
        return self.items[index].marked_text


ExamplesT = TypeVar("ExamplesT", bound=Examples)


def hold_out(
    examples: ExamplesT, strata: Sequence[int], share: float, seed: int, groups: Sequence[int] | None = None
) -> tuple[ExamplesT, ExamplesT]:
    """Split into (rest, held out), of which the second has about `share` (at most 0.5) of every stratum.

    `strata` (N,) are class numbers, or all the same. Every stratum stays represented in the rest. Examples of one of
    `groups` (N,), numbered from 0 and of one stratum each, stay together, unless there are too few groups. Raises
    `InputError` where nothing can be held out.
    """
    assert 0 < share <= 0.5
    values, owners = np.asarray(strata), np.arange(len(strata))
    if groups is not None and (max(groups) + 1) * share >= 1:
        owners = np.asarray(groups)
        values = values[np.unique(owners, return_index=True)[1]]
    order = generator(derive_key(seed, "hold out")).permutation(len(values))
    order = order[np.argsort(values[order], kind="stable")]
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    order = order[counts[places[order]] > 1]
    # Every 1/share-th in the order of the strata: at least two apart, so no stratum is taken whole.
    taken = order[((np.arange(math.floor(len(order) * share)) + 0.5) / share).astype(np.int64)]
    if not len(taken):
        raise InputError(f"{len(values)} training examples are too few to hold some out: give --dev FILE")
    is_taken = np.zeros(len(values), bool)
    is_taken[taken] = True
    return examples.take(np.flatnonzero(~is_taken[owners])), examples.take(np.flatnonzero(is_taken[owners]))


def cut_warnings(
    sequences: Sequence[EncodedExample],
    texts: Sequence[str],
    text_pairs: Sequence[str] | None,
    places: Sequence[str],
    tokenizer: Tokenizer,
    max_length: int,
) -> tuple[str, ...]:
    """How many of the texts or pairs lost their end to `max_length`; nothing where none did."""
    full = [index for index, sequence in enumerate(sequences) if len(sequence) == max_length]
    if not full:
        return ()
    lengths = tokenizer.pieces([texts[index] for index in full], max_length).lengths + 2
    if text_pairs is not None:
        lengths += (
            tokenizer.pieces([text_pairs[index] for index in full], max_length).lengths
            + tokenizer.special_tokens.between
        )
    cut = np.flatnonzero(lengths > max_length)
    if not len(cut):
        return ()
    count = f"{len(cut):,} of {len(sequences):,} texts are longer than max_length {max_length}: their ends are not read"
    return (f"{count} (the first: {places[full[cut[0]]]})",)
