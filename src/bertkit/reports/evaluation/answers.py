"""What the page says of a model that answers questions."""
# N questions.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bertkit.studies.report import Passage, Passages, Section, Table
from bertkit.studies.task_report.calibration import calibration_section
from bertkit.studies.task_report.evaluated import Evaluated
from bertkit.studies.task_report.marking import Span, marked
from bertkit.studies.task_report.null_threshold import null_threshold_section
from bertkit.tasks.answer_scores import score_answer
from bertkit.tasks.prediction import AnswerPrediction
from bertkit.tasks.question import Question
from bertkit.tasks.span_extraction import SpanExtraction

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
    note = f"said {said.answer or 'no answer'!r} ({said.probability:.1%}), is {texts!r}: F1 {f1:.2f}. {question.place}"
    return Passage(head=question.question, pieces=marked(question.context, found, wanted), note=note)


def _overlap(span: Span, said: AnswerPrediction) -> int:
    if said.start is None or said.end is None:
        return 0
    return 2 * (min(span.end, said.end) - max(span.start, said.start)) - (span.end - span.start)
