"""Against SQuAD 2.0's official evaluation as Transformers ships it, on answers made to trip it."""

from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bertkit.tasks.answer_evaluation import AnswerEvaluation
from bertkit.tasks.answer_scores import normalize_answer
from bertkit.tasks.prediction import SpanAnswer
from bertkit.tasks.question import Answer, Question
from bertkit.tasks.span_choice import SpanChoice

squad_metrics = pytest.importorskip("transformers.data.metrics.squad_metrics")

TEXTS = st.sampled_from(
    ["the", "cat", "The Cat!", "a cat sat", "sat cat", "—", "'", "U.S.", "us", "", "  ", "an the a"]
)
QUESTIONS = st.lists(
    st.tuples(TEXTS, st.lists(TEXTS, max_size=3), st.sampled_from([-3.5, -1.0, 0.0, 0.25, 2.0])), min_size=1, max_size=8
)
Given = list[tuple[str, list[str], float]]


@dataclass
class Example:
    qas_id: str
    answers: list[dict[str, str]]


def ours(questions: Given) -> AnswerEvaluation:
    choices = [
        SpanChoice((SpanAnswer(said, 0, len(said), 0.5),) if said else (), odds, 0.5) for said, _, odds in questions
    ]
    asked = [
        Question(
            id=str(place),
            question="?",
            context="",
            answers=tuple(Answer(text, None) for text in answers),
            place=str(place),
        )
        for place, (_, answers, _) in enumerate(questions)
    ]
    return AnswerEvaluation.of(choices, asked)


def official(questions: Given, threshold: float) -> dict[str, float]:
    """In percent."""
    examples = [
        Example(str(place), [{"text": text} for text in answers]) for place, (_, answers, _) in enumerate(questions)
    ]
    predictions = {str(place): said for place, (said, _, _) in enumerate(questions)}
    odds = {str(place): one for place, (_, _, one) in enumerate(questions)}
    figures: dict[str, float] = squad_metrics.squad_evaluate(examples, predictions, odds, threshold)
    return figures


@given(questions=QUESTIONS, threshold=st.sampled_from([-10.0, -1.0, -0.5, 0.0, 1.0, 10.0]))
def test_figures_at_a_threshold_are_the_official_ones(questions: Given, threshold: float):
    assume(not all(answers for _, answers, _ in questions))  # else the rules are those of 1.1
    found, reference = ours(questions).figures(threshold), official(questions, threshold)
    assert 100 * found["exact"] == pytest.approx(reference["exact"])
    assert 100 * found["f1"] == pytest.approx(reference["f1"])
    assert 100 * found["unanswerable_accuracy"] == pytest.approx(reference["NoAns_exact"])
    if any(answers for _, answers, _ in questions):
        assert 100 * found["answerable_exact"] == pytest.approx(reference["HasAns_exact"])
        assert 100 * found["answerable_f1"] == pytest.approx(reference["HasAns_f1"])


@settings(max_examples=50)
@given(questions=QUESTIONS)
def test_the_best_threshold_gives_the_official_best_f1(questions: Given):
    questions = [(said, answers, odds + place / 100) for place, (said, answers, odds) in enumerate(questions)]
    assume(not all(answers for _, answers, _ in questions))
    # The official search counts an answer of articles alone as wrong, though its own scores do not.
    assume(all(normalize_answer(said) or not said for said, _, _ in questions))
    found = ours(questions)
    assert 100 * found.figures(found.threshold())["f1"] == pytest.approx(official(questions, 0.0)["best_f1"])
