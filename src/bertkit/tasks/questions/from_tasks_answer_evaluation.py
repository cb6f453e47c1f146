"""SQuAD's scores of many answers, with a threshold for giving none."""
# N questions.

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertkit.tasks.answer_scores import score_answer
from bertkit.tasks.answer_threshold import best_threshold
from bertkit.tasks.question import Question
from bertkit.tasks.span_choice import SpanChoice


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
