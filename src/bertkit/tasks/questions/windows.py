"""Questions with their contexts as windows of bounded length."""
# N questions, I windows, T tokens.

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bertkit.core.arrays import run_starts
from bertkit.core.errors import InputError
from bertkit.core.lazy import lazy_module
from bertkit.tasks.contract import IGNORED, TaskInstances
from bertkit.tasks.questions.files import Question, Questions
from bertkit.text.pieces import Pieces
from bertkit.text.sequences import maximum_context, window_starts
from bertkit.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")


_Integers = NDArray[np.int64]


def encode_questions(
    questions: Questions,
    tokenizer: Tokenizer,
    *,
    max_length: int,
    doc_stride: int,
    max_question_length: int,
    labelled: bool,
) -> TaskInstances[Questions]:
    """`[CLS] question [SEP] part of the context [SEP]`, the parts starting `doc_stride` pieces apart.

    Targets (I, 2) are the places of the answer's first and last token in the window, [CLS] where it is in another one.
    Every context is tokenised once.
    """
    items = questions.items
    contexts = {text: number for number, text in enumerate(dict.fromkeys(item.context for item in items))}
    pieces = tokenizer.pieces(list(contexts))
    whole = tokenizer.pieces([item.question for item in items], max_question_length)
    asked = whole.cut(max_question_length)
    context_of = np.array([contexts[item.context] for item in items], np.int64)  # (N,)
    between = tokenizer.special_tokens.between
    rooms = max_length - 2 - between - asked.lengths
    for index in np.flatnonzero(rooms < 1)[:1]:
        raise InputError(
            f"{items[index].place}: the question's {asked.lengths[index]} pieces leave no room in max_length "
            f"{max_length}: raise it, or lower max_question_length"
        )
    owners, starts = _window_places(pieces.lengths[context_of], rooms, doc_stride)
    parts = pieces.parts(context_of[owners], starts, rooms[owners])
    before = asked.lengths[owners] + 1 + between
    warnings = _cut_questions(items, whole, max_question_length)
    targets = None
    if labelled:
        answers, widened = _answer_pieces(items, pieces, context_of)
        warnings += widened
        targets = torch.from_numpy(_targets(answers[owners], starts, parts.lengths, before))
    sequences = tokenizer.join(asked.parts(owners, np.zeros_like(owners), asked.lengths[owners]), parts)
    return TaskInstances(
        examples=questions,
        sequences=sequences,
        owners=owners,
        bounds=np.arange(len(owners) + 1),
        reads_tokens=True,
        text_starts=before,
        scored=_scored(owners, starts, parts.lengths, before, rooms, pieces.lengths[context_of]),
        targets=targets,
        warnings=warnings,
    )


def _cut_questions(items: tuple[Question, ...], whole: Pieces, max_question_length: int) -> tuple[str, ...]:
    cut = np.flatnonzero(whole.lengths > max_question_length)
    if not len(cut):
        return ()
    count = f"{len(cut):,} of {len(items):,} questions are longer than max_question_length {max_question_length}"
    return (f"{count}: their ends are not read (the first: {items[cut[0]].place})",)


def _window_places(lengths: _Integers, rooms: _Integers, stride: int) -> tuple[_Integers, _Integers]:
    """Question (I,) and first piece (I,) of each window."""
    counts = np.ones_like(lengths)
    long = np.flatnonzero(lengths > rooms)
    several = {index: window_starts(int(lengths[index]), int(rooms[index]), stride) for index in long.tolist()}
    counts[long] = [len(starts) for starts in several.values()]
    starts = np.zeros(counts.sum(), np.int64)
    for index, first in zip(several, run_starts(counts)[long].tolist(), strict=True):
        starts[first : first + len(several[index])] = several[index]
    return np.repeat(np.arange(len(lengths)), counts), starts


def _answer_pieces(
    items: tuple[Question, ...], pieces: Pieces, context_of: _Integers
) -> tuple[_Integers, tuple[str, ...]]:
    """First and last piece (N, 2) of each question's first answer that is in the context.

    (-1, -1) is a question without answer, (IGNORED, IGNORED) one whose answers are not in the context.
    """
    found = [
        next(((a.start, a.start + len(a.text)) for a in item.answers if a.start is not None), None) for item in items
    ]
    first, stop = np.array([span or (0, 0) for span in found], np.int64).T
    # All contexts' pieces are in one order if every context gets characters of its own.
    stretch = np.int64(1) << 32
    shift = np.repeat(np.arange(len(pieces)) * stretch, pieces.lengths)
    here = context_of * stretch
    start = pieces.starts[context_of]
    firsts = np.searchsorted(shift + pieces.offsets[:, 1], here + first, side="right")
    lasts = np.searchsorted(shift + pieces.offsets[:, 0], here + stop, side="left") - 1
    spans = np.stack([firsts - start, lasts - start], -1)
    spans[firsts > lasts] = IGNORED
    spans[[span is None for span in found]] = IGNORED
    spans[[not item.answers for item in items]] = -1
    trained = np.flatnonzero(spans[:, 0] >= 0)
    inexact = (pieces.offsets[firsts[trained], 0] != first[trained]) | (
        pieces.offsets[lasts[trained], 1] != stop[trained]
    )
    widened = trained[inexact]
    if not len(widened):
        return spans, ()
    count = f"{len(widened):,} answers start or end within a piece: trained on whole pieces"
    return spans, (f"{count} (the first: {items[widened[0]].place})",)


def _targets(answers: _Integers, starts: _Integers, lengths: _Integers, before: _Integers) -> _Integers:
    """Of each window (I, 2)."""
    places = answers - starts[:, None]
    is_here = (answers[:, 0] >= 0) & (places[:, 0] >= 0) & (places[:, 1] < lengths)
    targets = np.where(is_here[:, None], before[:, None] + places, 0)
    targets[answers[:, 0] == IGNORED] = IGNORED
    return targets


def _scored(
    owners: _Integers,
    starts: _Integers,
    lengths: _Integers,
    before: _Integers,
    rooms: _Integers,
    context_lengths: _Integers,
) -> NDArray[np.bool_]:
    """(T,) tokens of the context, where they have their maximum context."""
    parts = np.stack([before, lengths, np.ones_like(lengths)], -1).ravel()
    scored = np.repeat(np.tile([False, True, False], len(lengths)), parts)
    firsts = run_starts(before + lengths + 1) + before  # (I,) first token of the context
    counts = np.bincount(owners)
    windows = run_starts(counts)
    for owner in np.flatnonzero(counts > 1).tolist():
        those = slice(windows[owner], windows[owner] + counts[owner])
        best = maximum_context(starts[those].tolist(), int(rooms[owner]), int(context_lengths[owner]))
        for first, mask in zip(firsts[those].tolist(), best, strict=True):
            scored[first : first + len(mask)] = mask
    return scored
