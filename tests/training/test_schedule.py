"""The rate by steps and by the clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertkit.training.options import OptimizerOptions
from bertkit.training.schedule import learning_rate, rate_at

SCHEDULES = [
    {"schedule": "linear"},
    {"schedule": "one-cycle"},
    {"schedule": "trapezoidal", "decay_shape": "linear"},
    {"schedule": "trapezoidal", "decay_shape": "1-sqrt"},
]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"schedule": "linear", "final_share": 0.02}, [0.0, 0.5, 0.804, 0.51, 0.265, 0.1425, 0.02]),
        ({"schedule": "one-cycle", "final_share": 0.1}, [0.0, 0.5, 1.0, 0.6625, 0.38125, 0.240625, 0.1]),
        ({"schedule": "trapezoidal", "decay_shape": "linear"}, [0.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.0]),
        ({"schedule": "trapezoidal", "decay_shape": "1-sqrt"}, [0.0, 0.5, 1.0, 1.0, 1.0, 1 - 0.5**0.5, 0.0]),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_the_rate_has_the_published_shape(options: dict[str, object], expected: list[float]):
    chosen = OptimizerOptions(learning_rate=2e-3, warmup_share=0.2, decay_share=0.25, **options)
    found = [rate_at(progress, chosen) / 2e-3 for progress in (0.0, 0.1, 0.2, 0.5, 0.75, 0.875, 1.0)]
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("options", SCHEDULES, ids=lambda value: "-".join(value.values()))
@given(
    progress=st.floats(0, 1),
    warmup=st.sampled_from([0.0, 0.06, 0.5]),
    decay=st.sampled_from([0.1, 0.5]),
    final=st.sampled_from([0.0, 0.02, 1.0]),
)
def test_the_rate_rises_once_and_falls_once_and_never_leaves_its_bounds(
    options: dict[str, str], progress: float, warmup: float, decay: float, final: float
):
    chosen = OptimizerOptions(learning_rate=1.0, warmup_share=warmup, decay_share=decay, final_share=final, **options)
    rate, later = rate_at(progress, chosen), rate_at(min(1.0, progress + 1e-3), chosen)
    assert (0 if progress < warmup else final) - 1e-12 <= rate <= 1.0
    if progress + 1e-3 < warmup:
        assert later > rate
    elif progress >= warmup:
        assert later <= rate
    assert rate_at(1.0, chosen) == rate_at(1.7, chosen) == pytest.approx(final)


@pytest.mark.parametrize("options", SCHEDULES, ids=lambda value: "-".join(value.values()))
def test_steps_and_time_give_the_same_rate(options: dict[str, str]):
    chosen = OptimizerOptions(warmup_share=0.25, **options)
    for step in range(41):
        assert learning_rate(step, 40, chosen) == rate_at(step / 40, chosen)
