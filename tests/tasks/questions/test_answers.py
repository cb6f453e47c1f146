"""Choosing answers, SQuAD's scores and the threshold, against the rules of its two evaluation scripts."""

import math
import re
import string
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bertkit.tasks.predictions import SpanAnswer
from bertkit.tasks.questions.answers import (
    AnswerEvaluation,
    SpanChoice,
    WindowScores,
    best_threshold,
    independent_choice,
    joint_choice,
    normalize_answer,
    score_answer,
)
from bertkit.tasks.questions.files import Answer, Question

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


WORDS = [
    "the",
    "The",
    "a",
    "an",
    "AN",
    "theory",
    "cat",
    "Cat",
    "cats",
    "1,000",
    "1000",
    "U.S.",
    "us",
    "-",
    "—",
    "é",
    "'s",
]
ANSWER_SCORES_TEXTS = st.lists(st.sampled_from([*WORDS, " ", "\u00a0", "\t"]), max_size=6).map(" ".join) | st.text(
    max_size=12
)


def official_normalize(text: str) -> str:
    text = "".join(character for character in text.lower() if character not in set(string.punctuation))
    text = re.compile(r"\b(a|an|the)\b", re.UNICODE).sub(" ", text)
    return " ".join(text.split())


def official_f1(prediction: str, truth: str, *, second: bool) -> float:
    gold, guess = official_normalize(truth).split(), official_normalize(prediction).split()
    same = sum((Counter(gold) & Counter(guess)).values())
    if second and (len(gold) == 0 or len(guess) == 0):
        return float(int(gold == guess))
    if same == 0:
        return 0.0
    precision, recall = 1.0 * same / len(guess), 1.0 * same / len(gold)
    return (2 * precision * recall) / (precision + recall)


def official_of_answer_scores(prediction: str, truths: list[str], *, second: bool) -> tuple[float, float]:
    if second:
        truths = [truth for truth in truths if official_normalize(truth)]
        if not truths:
            truths = [""]
    exact = max(float(official_normalize(prediction) == official_normalize(truth)) for truth in truths)
    return exact, max(official_f1(prediction, truth, second=second) for truth in truths)


@given(text=ANSWER_SCORES_TEXTS)
def test_answers_are_normalised_as_officially(text: str):
    assert normalize_answer(text) == official_normalize(text)


@given(
    prediction=ANSWER_SCORES_TEXTS, truths=st.lists(ANSWER_SCORES_TEXTS, min_size=1, max_size=4), second=st.booleans()
)
def test_scores_are_the_official_ones(prediction: str, truths: list[str], second: bool):
    assert score_answer(prediction, truths, may_be_impossible=second) == official_of_answer_scores(
        prediction, truths, second=second
    )


@pytest.mark.parametrize(("prediction", "scores"), [("", (1.0, 1.0)), ("the", (1.0, 1.0)), ("cat", (0.0, 0.0))])
def test_a_question_without_answer_wants_none(prediction: str, scores: tuple[float, float]):
    assert score_answer(prediction, [], may_be_impossible=True) == scores


ANSWER_THRESHOLD_QUESTIONS = st.lists(
    st.tuples(
        st.sampled_from([-2.0, -1.0, 0.0, 1.5, 3.0, np.inf]),
        st.sampled_from([0.0, 0.5, 1.0]),
        st.sampled_from([0.0, 1.0]),
    ),
    min_size=1,
    max_size=12,
)


def mean_score(questions: list[tuple[float, float, float]], threshold: float) -> float:
    return sum(withheld if odds > threshold else given for odds, given, withheld in questions)


@given(questions=ANSWER_THRESHOLD_QUESTIONS)
def test_no_other_threshold_is_better(questions: list[tuple[float, float, float]]):
    found = best_threshold(*np.array(questions).T)
    others = [-np.inf, np.inf, *(odds for odds, _, _ in questions)]
    assert mean_score(questions, found) == max(mean_score(questions, other) for other in others)


def test_all_answers_are_withheld_below_the_lowest_odds():
    threshold = best_threshold(np.array([1.0, 2.0]), np.array([0.0, 0.0]), np.array([1.0, 1.0]))
    assert np.isfinite(threshold)
    assert threshold < 1.0


CONTEXT = "ab cd ab ef gh cd ij kl"
OFFSETS = np.array([[start, start + 2] for start in range(0, len(CONTEXT), 3)], np.int32)
SCORES = st.sampled_from([-30.0, -2.0, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 30.0])


@st.composite
def windows(draw: st.DrawFn) -> list[WindowScores]:
    """Windows over the context of eight words, in each of which some may start an answer."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        first = draw(st.integers(0, 7))
        size = draw(st.integers(0, 8 - first))
        lists = [draw(st.lists(values, min_size=size, max_size=size)) for values in (SCORES, SCORES, st.booleans())]
        found.append(
            WindowScores(
                start=np.array(lists[0], float),
                end=np.array(lists[1], float),
                may_start=np.array(lists[2], bool),
                offsets=OFFSETS[first : first + size],
                null=draw(SCORES),
            )
        )
    return found


def all_spans(window: WindowScores, max_tokens: int) -> list[tuple[float, int, int]]:
    return [
        (float(window.start[i] + window.end[j]), int(window.offsets[i, 0]), int(window.offsets[j, 1]))
        for i in range(len(window.start))
        for j in range(i, min(len(window.start), i + max_tokens))
        if window.may_start[i]
    ]


@given(windows=windows(), max_tokens=st.integers(1, 9))
def test_the_usual_choice_is_the_span_with_the_highest_sum(windows: list[WindowScores], max_tokens: int):
    spans = [span for window in windows for span in all_spans(window, max_tokens)]
    choice = independent_choice(windows, CONTEXT, n_best=100, max_tokens=max_tokens, may_be_impossible=True)
    null = min(window.null for window in windows)
    texts: dict[str, float] = {}
    for score, start, end in spans:
        texts[CONTEXT[start:end]] = max(score, texts.get(CONTEXT[start:end], -math.inf))
    assert {answer.text for answer in choice.answers} == set(texts)
    assert all(CONTEXT[answer.start : answer.end] == answer.text for answer in choice.answers)
    if spans:
        assert texts[choice.answers[0].text] == max(texts.values())
        assert choice.null_odds == pytest.approx(null - max(texts.values()))
    else:
        assert choice.null_odds == math.inf
    assert sum(answer.probability for answer in choice.answers) + choice.null_probability == pytest.approx(1)
    assert sorted((a.probability for a in choice.answers), reverse=True) == [a.probability for a in choice.answers]


@given(windows=windows(), max_tokens=st.integers(1, 9))
def test_the_joint_choice_adds_up_all_spans_with_the_same_text(windows: list[WindowScores], max_tokens: int):
    chances: dict[str, float] = {}
    nowhere = 1.0
    for window in windows:
        spans = all_spans(window, max_tokens)
        highest = max([score for score, _, _ in spans] + [window.null])
        total = sum(math.exp(score - highest) for score, _, _ in spans) + math.exp(window.null - highest)
        for score, start, end in spans:
            key = normalize_answer(CONTEXT[start:end])
            chances[key] = chances.get(key, 0.0) + math.exp(score - highest) / total
        nowhere *= math.exp(window.null - highest) / total
    choice = joint_choice(windows, CONTEXT, n_best=100, max_tokens=max_tokens)
    whole = sum(chances.values()) + nowhere
    found = {normalize_answer(answer.text): answer.probability for answer in choice.answers}
    assert found == pytest.approx({key: chance / whole for key, chance in chances.items()}, abs=1e-9)
    assert choice.null_probability == pytest.approx(nowhere / whole, abs=1e-9)
    if chances and max(chances.values()) > 1e-9 and nowhere > 1e-9:
        assert choice.null_odds == pytest.approx(math.log(nowhere) - math.log(max(chances.values())), abs=1e-6)


def test_at_most_n_best_starts_and_ends_are_combined():
    window = WindowScores(
        start=np.array([5.0, 4.0, 0.0]),
        end=np.array([0.0, 1.0, 9.0]),
        may_start=np.ones(3, bool),
        offsets=OFFSETS[:3],
        null=0.0,
    )
    choice = independent_choice([window], CONTEXT, n_best=1, max_tokens=2, may_be_impossible=False)
    assert choice.answers == ()
    joint = joint_choice([window], CONTEXT, n_best=1, max_tokens=2)
    assert joint.answers[0].text == "cd ab"


def test_the_joint_choice_prefers_a_text_that_occurs_twice():
    """Two mentions with 0.3 each beat one other answer with 0.4, which the usual choice takes."""
    scores = np.log([0.3, 0.4, 0.3])
    window = WindowScores(
        start=scores,
        end=np.zeros(3),
        may_start=np.ones(3, bool),
        offsets=OFFSETS[:3],
        null=-30.0,
    )
    usual = independent_choice([window], CONTEXT, n_best=20, max_tokens=1, may_be_impossible=False)
    joint = joint_choice([window], CONTEXT, n_best=20, max_tokens=1)
    assert (usual.answers[0].text, joint.answers[0].text) == ("cd", "ab")
    assert joint.answers[0].probability == pytest.approx(0.6)
