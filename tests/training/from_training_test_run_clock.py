import pytest
import torch

from bertkit.foundation.durations import format_duration, parse_duration
from bertkit.foundation.errors import InputError
from bertkit.foundation.process_group import ProcessGroup
from bertkit.training import run_clock
from bertkit.training.options import OptimizerOptions, TrainingOptions
from bertkit.training.run_clock import RunClock
from bertkit.training.training_result import TrainingResult

GROUP = ProcessGroup(device=torch.device("cpu"))


class _Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> _Time:
    fake = _Time()
    monkeypatch.setattr(run_clock, "time", fake)
    return fake


def _shares(clock: RunClock, time: _Time, seconds: float, step: int = 0) -> list[float]:
    shares = []
    while (share := clock.progress(step)) is not None:
        shares.append(share)
        time.now += seconds
        step += 1
    return shares


@pytest.mark.parametrize("seconds", [0.3, 1.0, 7.0])
def test_a_budget_ends_with_its_time_and_the_schedule_with_it(time: _Time, seconds: float):
    options = TrainingOptions(budget_seconds=100, optimizer=OptimizerOptions(warmup_share=0.1, learning_rate=1.0))
    clock = RunClock(options, GROUP)
    time.now += 20  # preparations
    shares = _shares(clock, time, seconds)
    assert abs(time.now - 1100) <= seconds / 2 + 1e-6
    assert shares == sorted(shares)
    assert shares[0] == 0.0, "preparations do not eat up warm-up"
    assert shares[-1] == pytest.approx(1.0, abs=seconds / 80)
    assert clock.rate(3, 0.05) == pytest.approx(0.5)
    assert clock.rate(3, 1.0) == 0.0


def test_a_run_that_goes_on_counts_what_was_used(time: _Time):
    options = TrainingOptions(budget_seconds=100)
    first, result = RunClock(options, GROUP, milestones=(0.5,), lead=3), TrainingResult()
    for step in range(60):
        first.progress(step)
        time.now += 1
    first.note(result)
    time.now += 5000
    second = RunClock(options, GROUP, milestones=(0.5,), lead=3)
    second.go_on(result)
    time.now += 10  # preparations, again
    assert len(_shares(second, time, 1.0, step=60)) == 30
    assert second.milestone_steps == first.milestone_steps == [53]


@pytest.mark.parametrize(("preparations", "step"), [(3.0, 1.0), (0.0, 40.0)])
def test_a_budget_too_short_for_one_step_is_refused(time: _Time, preparations: float, step: float):
    clock = RunClock(TrainingOptions(budget_seconds=2), GROUP)
    time.now += preparations
    with pytest.raises(InputError, match="budget 2s is too short for one step"):
        _shares(clock, time, step)
    assert not clock.has_begun


def test_a_run_has_begun_when_a_step_is_done(time: _Time):
    for options in (TrainingOptions(budget_seconds=9), TrainingOptions(steps=3)):
        clock = RunClock(options, GROUP)
        assert [(clock.progress(step) is not None, clock.has_begun)[1] for step in (0, 1, 2)] == [False, True, True]


def test_milestones_of_steps_are_known_from_the_start():
    clock = RunClock(TrainingOptions(steps=1000), GROUP, milestones=(0.0, 0.15, 0.9), lead=3)
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
