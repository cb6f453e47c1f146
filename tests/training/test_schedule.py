"""The rate by steps and by the clock."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertkit.core.console import format_duration, parse_duration
from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import InputError
from bertkit.training import schedule
from bertkit.training.options import OptimizerOptions, TrainingOptions
from bertkit.training.schedule import RunProgress, TrainingResult, learning_rate, rate_at

GROUP = ProcessGroup(device=torch.device("cpu"))


class _Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> _Time:
    fake = _Time()
    monkeypatch.setattr(schedule, "time", fake)
    return fake


def _shares(clock: RunProgress, time: _Time, seconds: float, step: int = 0) -> list[float]:
    shares = []
    while (share := clock.progress(step)) is not None:
        shares.append(share)
        time.now += seconds
        step += 1
    return shares


@pytest.mark.parametrize("seconds", [0.3, 1.0, 7.0])
def test_a_budget_ends_with_its_time_and_the_schedule_with_it(time: _Time, seconds: float):
    options = TrainingOptions(budget_seconds=100, optimizer=OptimizerOptions(warmup_share=0.1, learning_rate=1.0))
    clock = RunProgress(options, GROUP)
    time.now += 20  # preparations
    shares = _shares(clock, time, seconds)
    assert abs(time.now - 1100) <= seconds / 2 + 1e-6
    assert shares == sorted(shares)
    assert shares[0] == 0.0, "preparations do not eat up warm-up"
    assert shares[-1] == pytest.approx(1.0, abs=seconds / 80)
    assert clock.rate(3, 0.05) == pytest.approx(0.5)
    assert clock.rate(3, 1.0) == 0.0


def test_a_resumed_run_counts_the_time_that_was_used(time: _Time):
    options = TrainingOptions(budget_seconds=100)
    first, result = RunProgress(options, GROUP, milestones=(0.5,), lead=3), TrainingResult()
    for step in range(60):
        first.progress(step)
        time.now += 1
    first.note(result)
    time.now += 5000
    second = RunProgress(options, GROUP, milestones=(0.5,), lead=3)
    second.resume(result)
    time.now += 10  # preparations, again
    assert len(_shares(second, time, 1.0, step=60)) == 30
    assert second.milestone_steps == first.milestone_steps == [53]


@pytest.mark.parametrize(("preparations", "step"), [(3.0, 1.0), (0.0, 40.0)])
def test_a_budget_too_short_for_one_step_is_refused(time: _Time, preparations: float, step: float):
    clock = RunProgress(TrainingOptions(budget_seconds=2), GROUP)
    time.now += preparations
    with pytest.raises(InputError, match="budget 2s is too short for one step"):
        _shares(clock, time, step)
    assert not clock.has_begun


def test_a_run_has_begun_when_a_step_is_done(time: _Time):
    for options in (TrainingOptions(budget_seconds=9), TrainingOptions(steps=3)):
        clock = RunProgress(options, GROUP)
        assert [(clock.progress(step) is not None, clock.has_begun)[1] for step in (0, 1, 2)] == [False, True, True]


def test_milestones_of_steps_are_known_from_the_start():
    clock = RunProgress(TrainingOptions(steps=1000), GROUP, milestones=(0.0, 0.15, 0.9), lead=3)
    assert clock.milestone_steps == [0, 150, 900]
    assert clock.stop == 1000
    assert [clock.progress(step) for step in (0, 500, 1000)] == [0.0, 0.5, None]


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("1h30m", 5400), ("1.5h", 5400), ("90s", 90), ("2d", 172800)]
)
def test_spans_of_time(text: str, seconds: float):
    assert parse_duration(text) == seconds
    assert parse_duration(format_duration(seconds).replace(" ", "")) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "1m2h", "0s", "-5m", "1.2.3m"])
def test_what_is_no_span_of_time(text: str):
    with pytest.raises(InputError, match="30m"):
        parse_duration(text)


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
