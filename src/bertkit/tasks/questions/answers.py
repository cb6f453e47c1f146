"""Which span of a context answers a question, from a score for every start and every end."""
# W windows, c tokens of the context in a window, D tokens of the longest answer.

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bertkit.tasks.answer_scores import normalize_answer
from bertkit.tasks.prediction import SpanAnswer

_POOLED = 5
"""Spans of a window that the joint choice looks at, as a multiple of `n_best`."""


@dataclass(frozen=True, eq=False)
class WindowScores:
    """What the model says about the context's part in one window."""

    start: NDArray[np.float64]
    """(c,)"""
    end: NDArray[np.float64]
    """(c,)"""
    may_start: NDArray[np.bool_]
    """(c,) where an answer may start: tokens that have their maximum context here."""
    offsets: NDArray[np.int32]
    """(c, 2) characters of the context."""
    null: float
    """Score of no answer: [CLS] as start and end."""


@dataclass(frozen=True)
class SpanChoice:
    """Likeliest answers, the best first, and by how much (in log odds) no answer is likelier than the best."""

    answers: tuple[SpanAnswer, ...]
    null_odds: float
    null_probability: float


def independent_choice(
    windows: Sequence[WindowScores], context: str, *, n_best: int, max_tokens: int, may_be_impossible: bool
) -> SpanChoice:
    """The usual choice: likely starts and ends combined, ranked by the sum of their scores over all windows.

    Probabilities are a softmax over the answers listed, and no answer where `may_be_impossible`.
    """
    found: list[tuple[float, int, int]] = []  # score, first and last character
    for window in windows:
        starts = _top(np.where(window.may_start, window.start, -np.inf), n_best)[:, None]
        ends = _top(window.end, n_best)[None, :]
        rows, columns = np.nonzero((starts <= ends) & (ends - starts < max_tokens) & window.may_start[starts])
        firsts, lasts = starts[rows, 0], ends[0, columns]
        scores = window.start[firsts] + window.end[lasts]
        found += zip(scores.tolist(), *_characters(window, firsts, lasts), strict=True)
    null = min(window.null for window in windows)
    best: dict[str, tuple[float, int, int]] = {}
    for span in sorted(found, key=lambda span: (-span[0], span[1], span[2])):
        best.setdefault(context[span[1] : span[2]], span)
        if len(best) == n_best:
            break
    scores = np.array([score for score, _, _ in best.values()] + [null] * may_be_impossible)
    chances = np.exp(scores - scores.max()) if len(scores) else scores
    chances /= chances.sum()
    answers = tuple(
        SpanAnswer(text, first, last, float(chance))
        for (text, (_, first, last)), chance in zip(best.items(), chances, strict=False)
    )
    odds = null - next(iter(best.values()))[0] if best else math.inf
    return SpanChoice(answers, odds, float(chances[-1]) if may_be_impossible else 0.0)


def joint_choice(windows: Sequence[WindowScores], context: str, *, n_best: int, max_tokens: int) -> SpanChoice:
    """The choice by one distribution over all valid spans of a window and no answer in it.

    Spans whose texts are equal as SQuAD compares them are one answer, whose probability is their sum.
    """
    chances: dict[str, float] = {}
    spans: dict[str, SpanAnswer] = {}
    whole = log_none = 0.0
    for window in windows:
        log_chances, log_none_here = _distribution(window, max_tokens)
        log_none += log_none_here
        whole += -math.expm1(log_none_here)
        places = _top(log_chances.ravel(), min(_POOLED * n_best, int(np.isfinite(log_chances).sum())))
        firsts, lengths = np.divmod(places, log_chances.shape[1])
        found = np.exp(log_chances.ravel()[places]).tolist()
        for chance, first, last in zip(found, *_characters(window, firsts, firsts + lengths), strict=True):
            key = normalize_answer(context[first:last])
            chances[key] = chances.get(key, 0.0) + chance
            if key not in spans or chance > spans[key].probability:
                spans[key] = SpanAnswer(context[first:last], first, last, chance)
    none = math.exp(log_none)
    whole += none
    ranked = sorted(spans, key=lambda key: (-chances[key], spans[key].start))[:n_best]
    answers = tuple(replace(spans[key], probability=chances[key] / whole) for key in ranked)
    odds = log_none - math.log(chances[ranked[0]]) if ranked and chances[ranked[0]] > 0 else math.inf
    return SpanChoice(answers, odds, none / whole)


def _distribution(window: WindowScores, max_tokens: int) -> tuple[NDArray[np.float64], float]:
    """Log probability of the span from token i to i + d (c, D), -inf of what is none, and of no answer."""
    width = max(1, min(max_tokens, len(window.end)))
    starts = np.where(window.may_start, window.start, -np.inf)[:, None]
    ends = np.concatenate([window.end, np.full(width, -np.inf)])
    sums = starts + np.lib.stride_tricks.sliding_window_view(ends, width)[: len(starts)]
    highest = max(float(sums.max(initial=-np.inf)), window.null)
    total = highest + math.log(float(np.exp(sums - highest).sum()) + math.exp(window.null - highest))
    return sums - total, window.null - total


def _top(scores: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Places of the highest scores, the highest first."""
    some = np.argpartition(-scores, count)[:count] if count < len(scores) else np.arange(len(scores))
    ordered: NDArray[np.int64] = some[np.argsort(-scores[some], kind="stable")]
    return ordered


def _characters(
    window: WindowScores, firsts: NDArray[np.int64], lasts: NDArray[np.int64]
) -> tuple[list[int], list[int]]:
    """Where spans of tokens start and end in the context."""
    return window.offsets[firsts, 0].tolist(), window.offsets[lasts, 1].tolist()
