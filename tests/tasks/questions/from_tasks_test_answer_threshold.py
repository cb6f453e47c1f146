import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bertkit.tasks.answer_threshold import best_threshold

QUESTIONS = st.lists(
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


@given(questions=QUESTIONS)
def test_no_other_threshold_is_better(questions: list[tuple[float, float, float]]):
    found = best_threshold(*np.array(questions).T)
    others = [-np.inf, np.inf, *(odds for odds, _, _ in questions)]
    assert mean_score(questions, found) == max(mean_score(questions, other) for other in others)


def test_all_answers_are_withheld_below_the_lowest_odds():
    threshold = best_threshold(np.array([1.0, 2.0]), np.array([0.0, 0.0]), np.array([1.0, 1.0]))
    assert np.isfinite(threshold)
    assert threshold < 1.0
