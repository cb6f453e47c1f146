"""From scores of starts and ends to an answer, SQuAD's scores of answers, and the threshold for giving none."""
# N questions, c tokens of the context in a window, D tokens of the longest answer.

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bertkit.tasks.predictions import SpanAnswer
from bertkit.tasks.questions.files import Question

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@lru_cache(maxsize=1 << 17)
def normalize_answer(text: str) -> str:
    """Lower case, without ASCII punctuation and articles, single spaces (Rajpurkar et al. 2016)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def score_answer(prediction: str, answers: Sequence[str], *, may_be_impossible: bool) -> tuple[float, float]:
    """Exact match and F1, each the best over the answers.

    As the official evaluation of 1.1 or, with `may_be_impossible`, of 2.0 counts them. In 2.0 an answer that is empty
    once normalised does not count; a question left with none wants an empty prediction.
    """
    if may_be_impossible:
        answers = [answer for answer in answers if normalize_answer(answer)] or [""]
    pairs = [(normalize_answer(prediction), normalize_answer(answer)) for answer in answers]
    exact = max((float(ours == theirs) for ours, theirs in pairs), default=0.0)
    f1 = max((_f1(ours, theirs, empty_is_right=may_be_impossible) for ours, theirs in pairs), default=0.0)
    return exact, f1


def _f1(prediction: str, answer: str, *, empty_is_right: bool) -> float:
    ours, theirs = prediction.split(), answer.split()
    if empty_is_right and not (ours and theirs):
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    if not common:
        return 0.0
    precision, recall = common / len(ours), common / len(theirs)
    return 2 * precision * recall / (precision + recall)


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


def best_threshold(odds: NDArray[np.float64], answered: NDArray[np.float64], unanswered: NDArray[np.float64]) -> float:
    """The threshold over which an answer is withheld that gives the highest mean score; of equals the lowest.

    `odds` (N,) are higher where no answer is likelier; the scores (N,) are those of giving and of withholding.
    """
    order = np.argsort(odds, kind="stable")
    odds = odds[order]
    # Of the first k questions in this order the answers are given, k from 0 to N.
    gains = np.concatenate([[0.0], np.cumsum(answered[order] - unanswered[order])])
    cuts = np.concatenate([[True], odds[1:] != odds[:-1], [True]])  # equal odds are decided alike
    best = int(np.argmax(np.where(cuts, gains, -np.inf)))
    if best == 0:
        return float(np.nextafter(odds[0], -np.inf))
    return float(odds[best - 1])


@dataclass(frozen=True, eq=False)
class AnswerEvaluation:
    """Exact match and F1 (N, 2) of giving the best answer and of giving none."""

    given: NDArray[np.float64]
    withheld: NDArray[np.float64]
    null_odds: NDArray[np.float64]
    """(N,)"""
    has_answer: NDArray[np.bool_]
    """(N,)"""

    @classmethod
    def of(cls, choices: Iterable[SpanChoice], questions: Iterable[Question]) -> AnswerEvaluation:
        """By the rules of 2.0 if a question has no answer, else by those of 1.1."""
        questions = list(questions)
        has_answer = np.array([bool(question.answers) for question in questions])
        rules = not has_answer.all()
        given, withheld, odds = [], [], []
        for choice, question in zip(choices, questions, strict=True):
            texts = [answer.text for answer in question.answers]
            best = choice.answers[0].text if choice.answers else ""
            given.append(score_answer(best, texts, may_be_impossible=rules))
            # The official script asks whether there are answers, not whether anything is left of them normalised.
            withheld.append((float(not texts),) * 2 if rules else score_answer("", texts, may_be_impossible=False))
            odds.append(choice.null_odds)
        return cls(np.array(given), np.array(withheld), np.array(odds), has_answer)

    def threshold(self) -> float:
        """Of the highest F1."""
        return best_threshold(self.null_odds, self.given[:, 1], self.withheld[:, 1])

    def figures(self, threshold: float | None) -> dict[str, float]:
        """Means over all questions and over each kind; `threshold` None always answers."""
        withhold = np.zeros(len(self.given), bool) if threshold is None else self.null_odds > threshold
        scores = np.where(withhold[:, None], self.withheld, self.given)  # (N, 2)
        answerable, others = scores[self.has_answer], scores[~self.has_answer]
        return {
            "exact": float(scores[:, 0].mean()),
            "f1": float(scores[:, 1].mean()),
            "answerable_exact": float(answerable[:, 0].mean()) if len(answerable) else 0.0,
            "answerable_f1": float(answerable[:, 1].mean()) if len(answerable) else 0.0,
            "unanswerable_accuracy": float(others[:, 0].mean()) if len(others) else 0.0,
        }
