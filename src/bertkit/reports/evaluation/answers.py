"""What the page says of a model that answers questions."""
# N questions, K thresholds.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertkit.reports.evaluation.calibration import calibration_section
from bertkit.reports.evaluation.evaluated import Evaluated, Span, marked
from bertkit.reports.page import Paragraph, Passage, Passages, Plots, Section, Table
from bertkit.reports.plots import Axis, Points, Series, plot
from bertkit.tasks.predictions import AnswerPrediction
from bertkit.tasks.questions.answers import AnswerEvaluation, score_answer
from bertkit.tasks.questions.files import Question
from bertkit.tasks.questions.task import SpanExtraction

_MOST_POINTS = 400


@dataclass(frozen=True, eq=False)
class NullCurve:
    """Mean scores where an answer is withheld if the odds against one are over the threshold; thresholds (K,) rise."""

    thresholds: NDArray[np.float64]
    f1: NDArray[np.float64]
    exact: NDArray[np.float64]

    @classmethod
    def of(cls, found: AnswerEvaluation) -> NullCurve:
        """At every finite value of the odds (N,) that occurs."""
        order = np.argsort(found.null_odds, kind="stable")
        odds = found.null_odds[order]
        # With the threshold at the k-th odds the first k answers are given.
        gains = np.cumsum((found.given - found.withheld)[order], axis=0)  # (N, 2)
        last = np.flatnonzero(np.append(odds[1:] != odds[:-1], True) & np.isfinite(odds))
        means = (found.withheld.sum(0) + gains[last]) / len(odds)
        return cls(odds[last], means[:, 1], means[:, 0])


def null_threshold_section(found: AnswerEvaluation, threshold: float) -> Section:
    """The curve, with the threshold that the model has."""
    curve = NullCurve.of(found)
    now, best = found.figures(threshold), found.figures(found.threshold())
    some = np.unique(np.linspace(0, len(curve.thresholds) - 1, _MOST_POINTS).astype(np.int64))
    x = curve.thresholds[some].tolist()
    drawn = plot(
        [
            Series(label="F1", x=x, y=curve.f1[some].tolist(), colour=0),
            Series(label="exact match", x=x, y=curve.exact[some].tolist(), colour=1),
            Points(label="the model's threshold", x=[threshold], y=[now["f1"]], colour=4),
        ],
        Axis(label="log odds of no answer over which none is given"),
        Axis(label="", limits=(0, 1.02)),
        "null-threshold",
    )
    text = (
        f"The model withholds an answer over {threshold:.3f}: F1 {now['f1']:.3f}, of questions with an answer "
        f"{now['answerable_f1']:.3f}, and {now['unanswerable_accuracy']:.1%} of those without one are told apart. The "
        f"highest F1 here is {best['f1']:.3f}, at {found.threshold():.3f}."
    )
    return Section(
        title="When to give no answer",
        blocks=[
            Plots(svgs=[drawn], caption="Further left fewer answers are given, further right more."),
            Paragraph(text=text),
        ],
    )


_WORDS = ("how many", "how much", "how", "what", "when", "where", "which", "who", "whose", "why")
_OTHER = "other"
_WRONG, _PARTLY, _RIGHT = 10, 5, 5


def answer_sections(found: Evaluated) -> list[Section]:
    """Kinds of questions, calibration, the threshold for giving no answer, and answers in colour."""
    assert isinstance(found.task, SpanExtraction)
    questions: Sequence[Question] = found.instances.examples.items
    predictions = [one for one in found.predictions if isinstance(one, AnswerPrediction)]
    rules = any(not question.answers for question in questions)
    scores = np.array(
        [
            score_answer(said.answer, [answer.text for answer in question.answers], may_be_impossible=rules)
            for said, question in zip(predictions, questions, strict=True)
        ]
    )  # (N, 2) exact match and F1
    chances = np.array([said.probability for said in predictions])
    sections = [_by_word(questions, scores), calibration_section(chances, scores[:, 0] == 1, "answers")]
    if found.task.impossible:
        evaluation = found.task.evaluation(found.logits, found.instances, joint=found.task.joint)
        sections.append(null_threshold_section(evaluation, found.task.used_threshold))
    return [*sections, _examples(questions, predictions, scores, chances)]


def _by_word(questions: Sequence[Question], scores: NDArray[np.float64]) -> Section:
    kinds = np.array([_kind(question) for question in questions])
    rows = [
        (kind, f"{(kinds == kind).sum():,}", *(f"{value:.3f}" for value in scores[kinds == kind].mean(0)))
        for kind in (*_WORDS, _OTHER)
        if (kinds == kind).any()
    ]
    none = np.array([not question.answers for question in questions])
    for name, those in (("with an answer", ~none), ("without one", none)):
        if none.any() and those.any():
            rows.append((name, f"{those.sum():,}", *(f"{value:.3f}" for value in scores[those].mean(0))))
    rows.append(("all", f"{len(questions):,}", *(f"{value:.3f}" for value in scores.mean(0))))
    table = Table(head=("question", "questions", "exact match", "F1"), rows=rows)
    return Section(title="By kind of question", blocks=[table])


def _kind(question: Question) -> str:
    """The first of the question words that it starts with."""
    text = f"{' '.join(question.question.lower().split())} "
    return next((word for word in _WORDS if text.startswith(f"{word} ")), _OTHER)


def _examples(
    questions: Sequence[Question],
    predictions: Sequence[AnswerPrediction],
    scores: NDArray[np.float64],
    chances: NDArray[np.float64],
) -> Section:
    exact, f1 = scores.T
    shown = []
    for those, count in ((f1 == 0, _WRONG), ((exact == 0) & (f1 > 0), _PARTLY), (exact == 1, _RIGHT)):
        places = np.flatnonzero(those)
        shown += places[np.argsort(-chances[places], kind="stable")][:count].tolist()
    passages = [_passage(questions[index], predictions[index], f1[index]) for index in shown]
    right, wrong = int((exact == 1).sum()), int((f1 == 0).sum())
    caption = (
        f"Of {len(questions):,} answers {right:,} are right, {len(questions) - right - wrong:,} in part and {wrong:,} "
        "wrong. Of each kind the surest come first."
    )
    return Section(title="Answers", blocks=[Passages(passages=passages, caption=caption)])


def _passage(question: Question, said: AnswerPrediction, f1: float) -> Passage:
    """With the answer in the data that is nearest to the model's."""
    found = [] if said.start is None or said.end is None else [Span(said.start, said.end)]
    there = [Span(one.start, one.start + len(one.text)) for one in question.answers if one.start is not None]
    wanted = sorted(there, key=lambda span: -_overlap(span, said))[:1]
    texts = " / ".join(dict.fromkeys(one.text for one in question.answers)) or "no answer"
    predicted = f"predicted {said.answer or 'no answer'!r} ({said.probability:.1%})"
    note = f"{predicted}, right answer {texts!r}: F1 {f1:.2f}. {question.place}"
    return Passage(head=question.question, pieces=marked(question.context, found, wanted), note=note)


def _overlap(span: Span, said: AnswerPrediction) -> int:
    if said.start is None or said.end is None:
        return 0
    return 2 * (min(span.end, said.end) - max(span.start, said.start)) - (span.end - span.start)
