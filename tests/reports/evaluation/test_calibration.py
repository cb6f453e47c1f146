import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertkit.reports.evaluation.calibration import Calibration, calibration_section

PREDICTIONS = st.lists(
    st.tuples(st.floats(0, 1) | st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.booleans()), min_size=1, max_size=40
)


def expected_error(pairs: list[tuple[float, bool]], bins: int) -> float:
    """Guo et al. 2017, equation 3, bin by bin."""
    error = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [pair for pair in pairs if low < pair[0] <= high or (number == 0 and pair[0] == 0)]
        if inside:
            accuracy = sum(right for _, right in inside) / len(inside)
            confidence = sum(chance for chance, _ in inside) / len(inside)
            error += len(inside) / len(pairs) * abs(accuracy - confidence)
    return error


@given(pairs=PREDICTIONS)
def test_the_expected_calibration_error_is_that_of_its_definition(pairs: list[tuple[float, bool]]):
    chances, right = (np.array(side) for side in zip(*pairs, strict=True))
    found = Calibration.of(chances, right.astype(bool), bins=4)  # bounds of four bins are exact
    assert found.counts.sum() == len(pairs)
    assert found.error == pytest.approx(expected_error(pairs, 4), abs=1e-12)
    assert found.overconfidence == pytest.approx(chances.mean() - right.mean(), abs=1e-12)


def test_a_model_that_says_what_it_is_has_no_error():
    chances = np.array([0.75] * 4 + [1.0] * 2)
    assert Calibration.of(chances, np.array([True, True, True, False, True, True])).error == pytest.approx(0)


def test_the_page_says_in_which_direction_it_errs():
    sure = calibration_section(np.full(10, 0.9), np.arange(10) < 5, "examples")
    assert "overconfident by 40.0%" in sure.blocks[0].text
    shy = calibration_section(np.full(10, 0.5), np.arange(10) < 9, "examples")
    assert "underconfident by 40.0%" in shy.blocks[0].text
