"""Against a transcription of SQuAD 2.0's official evaluation (Rajpurkar et al. 2018), on answers made to trip it."""

import re
import string
from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bertkit.tasks.answer_evaluation import AnswerEvaluation
from bertkit.tasks.answer_scores import normalize_answer
from bertkit.tasks.prediction import SpanAnswer
from bertkit.tasks.question import Answer, Question
from bertkit.tasks.span_choice import SpanChoice

ALL_TEXTS = ["the", "cat", "The Cat!", "a cat sat", "sat cat", "—", "'", "U.S.", "us", "", "  ", "an the a"]
TEXTS = st.sampled_from(ALL_TEXTS)
ODDS = st.sampled_from([-3.5, -1.0, 0.0, 0.25, 2.0])
QUESTIONS = st.lists(st.tuples(TEXTS, st.lists(TEXTS, max_size=3), ODDS), min_size=1, max_size=8)
# The official search counts an answer of articles alone as wrong, though its own scores do not.
SAID = st.sampled_from([text for text in ALL_TEXTS if normalize_answer(text) or not text])
Given = list[tuple[str, list[str], float]]


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


def words(text: str) -> list[str]:
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def word_f1(said: str, answer: str) -> float:
    found, wanted = words(said), words(answer)
    if not found or not wanted:
        return float(found == wanted)
    common = (Counter(found) & Counter(wanted)).total()
    return 2 * common / (len(found) + len(wanted))


def official(questions: Given, threshold: float) -> dict[str, float]:
    """In percent; an answer of no words is none, unless all are, and withholding is right where there are none."""
    exact, f1 = [], []
    for said, answers, odds in questions:
        wanted = [answer for answer in answers if words(answer)] or [""]
        withheld = odds > threshold
        exact.append(float(not answers) if withheld else float(any(words(said) == words(one) for one in wanted)))
        f1.append(float(not answers) if withheld else max(word_f1(said, one) for one in wanted))
    figures = {"exact": mean(exact), "f1": mean(f1)}
    for name, answerable in (("HasAns", True), ("NoAns", False)):
        places = [place for place, (_, answers, _) in enumerate(questions) if bool(answers) == answerable]
        figures[f"{name}_exact"] = mean([exact[place] for place in places])
        figures[f"{name}_f1"] = mean([f1[place] for place in places])
    return figures


def official_best_f1(questions: Given) -> float:
    """In percent: from all withheld on, give one answer more at a time, the likeliest to exist first."""
    right = best = float(sum(not answers for _, answers, _ in questions))
    for said, answers, _ in sorted(questions, key=lambda question: question[2]):
        wanted = [answer for answer in answers if words(answer)] or [""]
        right += max(word_f1(said, one) for one in wanted) if answers else -float(bool(said))
        best = max(best, right)
    return 100 * best / len(questions)


def mean(scores: list[float]) -> float:
    return 100 * sum(scores) / max(1, len(scores))


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
@given(
    questions=st.lists(st.tuples(SAID, st.lists(TEXTS, max_size=3), ODDS), max_size=7),
    unanswerable=st.tuples(SAID, st.just([]), ODDS),
    data=st.data(),
)
def test_the_best_threshold_gives_the_official_best_f1(questions: Given, unanswerable, data):
    # One has no answer at least, else the rules are those of 1.1.
    questions.insert(data.draw(st.integers(0, len(questions))), unanswerable)
    questions = [(said, answers, odds + place / 100) for place, (said, answers, odds) in enumerate(questions)]
    found = ours(questions)
    assert 100 * found.figures(found.threshold())["f1"] == pytest.approx(official_best_f1(questions))
