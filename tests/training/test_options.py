import math

import pytest

from bertkit.core.errors import InputError
from bertkit.training.options import OptimizerOptions, TrainingOptions


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
@pytest.mark.parametrize("name", ["learning_rate", "epsilon", "weight_decay"])
def test_rates_that_train_nothing_are_refused(name: str, value: float):
    with pytest.raises(InputError, match=rf"{name} must be .* and finite, got {value}"):
        OptimizerOptions(**{name: value})


def test_weights_may_stay_undecayed_and_nothing_else_be_zero():
    assert OptimizerOptions(weight_decay=0.0).weight_decay == 0.0
    for name in ("learning_rate", "epsilon"):
        with pytest.raises(InputError, match=f"{name} must be above 0"):
            OptimizerOptions(**{name: 0.0})


def test_a_limit_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="budget_seconds must be above 0, got nan"):
        TrainingOptions(budget_seconds=math.nan)
    with pytest.raises(InputError, match="spike_deviations must be above 0, got nan"):
        TrainingOptions(steps=1, spike_deviations=math.nan)
