import math
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

from bertkit.recipes.finetune_result import FinetuneResult, SeedResult, confidence_interval, metric_interval
from bertkit.recipes.options import FinetuneOptions
from bertkit.training.run_folder import RunFolder


def _result(accuracies: list[float], chance: float = 0.5) -> FinetuneResult:
    seeds = tuple(
        SeedResult(seed=seed, dev={"accuracy": value}, test=None, seconds=1.0, steps=10, failed=value <= chance)
        for seed, value in enumerate(accuracies)
    )
    return FinetuneResult(
        name="films",
        run=RunFolder(Path("run")),
        model=Path("run/model"),
        options=FinetuneOptions(),
        dev="as given",
        dev_instances=None,  # type: ignore[arg-type]
        select_by="accuracy",
        chance=chance,
        seeds=seeds,
    )


def _printed(result: FinetuneResult) -> str:
    console = Console(width=120, record=True)
    console.print(result.table())
    return console.export_text()


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20).filter(lambda values: statistics.stdev(values) > 1e-6))
def test_the_interval_is_that_of_students_t(values: list[float]):
    low, high = confidence_interval(values)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert math.isclose(low, expected.low, abs_tol=1e-9)
    assert math.isclose(high, expected.high, abs_tol=1e-9)


def test_seeds_that_agree_have_an_interval_of_no_width():
    assert confidence_interval([0.75, 0.75, 0.75]) == (0.75, 0.75)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("accuracy", (0.0, 1.0)),
        ("accuracy_mismatched", (0.0, 1.0)),
        ("joint_f1", (0.0, 1.0)),
        ("matthews", (-0.7706, 1.0)),
        ("loss", (0.0, 1.7706)),
    ],
)
def test_an_interval_does_not_leave_the_range_of_its_metric(metric: str, expected: tuple[float, float]):
    assert metric_interval(metric, [0.4, 0.6]) == pytest.approx(expected, abs=1e-4)


def test_two_seeds_far_apart_have_an_interval_that_can_be():
    spread = _result([0.3, 0.7]).summary()["dev"]["accuracy"]
    assert (spread["confidence_95_low"], spread["confidence_95_high"]) == (0.0, 1.0)
    assert "0.0000 to 1.0000" in _printed(_result([0.3, 0.7]))


def test_the_interval_stands_in_the_table_and_in_the_summary_of_several_seeds_only():
    several, one = _result([0.8, 0.9, 0.85]), _result([0.8])
    spread = several.summary()["dev"]["accuracy"]
    assert (spread["confidence_95_low"], spread["confidence_95_high"]) == pytest.approx((0.7258, 0.9742), abs=1e-4)
    assert "0.7258 to 0.9742" in _printed(several)
    assert set(one.summary()["dev"]["accuracy"]) == {"mean", "standard_deviation"}
    assert "interval" not in _printed(one)


def test_failed_seeds_are_marked_counted_in_the_mean_and_advised_on():
    result = _result([0.5, 0.9, 0.4])
    assert [seed.seed for seed in result.failed] == [0, 2]
    assert result.summary()["dev"]["accuracy"]["mean"] == pytest.approx(0.6)
    assert result.to_json()["failed_seeds"] == [0, 2]
    assert _printed(result).count("(failed)") == 2
    advice = result.advice()
    assert advice is not None
    assert advice.startswith(
        "2 of 3 seeds failed: dev accuracy of seed 0 (0.5000), 2 (0.4000) is no better than 0.5000"
    )


def test_seeds_that_learn_need_no_advice():
    assert _result([0.8, 0.9]).advice() is None
