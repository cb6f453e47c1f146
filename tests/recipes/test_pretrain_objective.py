import math
from itertools import pairwise

import numpy as np
import pytest

from bertkit.recipes.pretrain_objective import UnigramPlateau, unigram_entropy


def _steps_advised(losses: list[float]) -> list[int]:
    plateau = UnigramPlateau(6.9)
    return [
        step
        for step, loss in zip(range(50, 50 * len(losses) + 1, 50), losses, strict=True)
        if plateau(step, {"masked_lm_loss": loss})
    ]


def test_the_entropy_is_that_of_the_frequencies():
    assert unigram_entropy(np.array([4, 4, 0, 4, 4])) == pytest.approx(np.log(4))
    assert unigram_entropy(np.array([7, 0])) == 0.0


@pytest.mark.parametrize("level", [6.9, 6.3])
def test_a_run_that_guesses_gets_advice_now_and_then(level: float):
    rng = np.random.default_rng(0)
    losses = [max(level, 9.7 - 0.5 * line) + rng.normal(0, 0.02) for line in range(40)]
    advised = _steps_advised(losses)
    assert advised
    assert advised[0] <= 1000
    assert all(later >= 2 * earlier for earlier, later in pairwise(advised))


def test_a_run_that_learns_gets_no_advice():
    assert _steps_advised([9.7 - 0.35 * line if line < 10 else 6.3 - 0.03 * line for line in range(60)]) == []


def test_a_run_that_stands_still_far_below_gets_no_advice():
    assert _steps_advised([max(3.0, 9.7 - 0.5 * line) for line in range(60)]) == []


@pytest.mark.parametrize("gap", [None, math.nan, math.inf])
def test_losses_that_are_not_finite_are_passed_over(gap: float | None):
    plateau = UnigramPlateau(6.9)
    advised = [
        step for step in range(50, 2001, 50) if plateau(step, {"masked_lm_loss": gap if step % 200 == 0 else 6.9})
    ]
    assert advised
    assert not any(step % 200 == 0 for step in advised)


def test_the_advice_names_both_figures_and_is_recorded():
    plateau = UnigramPlateau(6.9)
    (advice,) = filter(None, (plateau(step, {"masked_lm_loss": 6.8}) for step in range(50, 401, 50)))
    assert advice.message.startswith("the loss 6.80 stays near 6.90, the entropy of the words' frequencies")
    assert (advice.kind, advice.figures) == ("stuck", {"masked_lm_loss": 6.8, "unigram_entropy": 6.9})
