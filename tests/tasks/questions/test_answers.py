import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertkit.tasks.answer_scores import normalize_answer
from bertkit.tasks.span_choice import WindowScores, independent_choice, joint_choice

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


def test_the_joint_choice_prefers_a_text_that_stands_twice():
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
