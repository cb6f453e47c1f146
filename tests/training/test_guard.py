import pytest
import torch

from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import DivergedError
from bertkit.training.guard import StepGuard, check_evaluation

GROUP = ProcessGroup(device=torch.device("cpu"))


def _judge(guard: StepGuard, start: int, values: list[tuple[float, float]]) -> list[float]:
    return [
        float(guard.veto(step, torch.tensor(loss), torch.tensor(norm)))
        for step, (loss, norm) in enumerate(values, start)
    ]


def _usual(count: int) -> list[tuple[float, float]]:
    draws = torch.randn(count, 2, generator=torch.Generator().manual_seed(1))
    return [(5 + 0.1 * a, 2 + 0.2 * b) for a, b in draws.tolist()]


@pytest.mark.parametrize("spike", [(9.0, 2.0), (5.0, 40.0)])
def test_a_loss_or_norm_far_beyond_the_usual_is_left_out(spike: tuple[float, float], capsys):
    guard = StepGuard(GROUP, spike_deviations=6)
    assert not any(_judge(guard, 0, _usual(70)))
    assert _judge(guard, 70, [spike]) == [1.0]
    assert not any(_judge(guard, 71, _usual(20)))
    assert guard.report(91, 1e-3) == {"steps_not_finite": 0, "steps_spiked": 1}
    assert capsys.readouterr().err.count("left out 1 whose loss or gradient norm") == 1
    guard.report(92, 1e-3)
    assert capsys.readouterr().err == ""


def test_nothing_is_a_spike_before_it_is_known_what_is_usual_nor_where_spikes_may_pass():
    assert not any(_judge(StepGuard(GROUP, spike_deviations=6), 0, [*_usual(60), (9.0, 40.0)]))
    assert not any(_judge(StepGuard(GROUP, spike_deviations=None), 0, [*_usual(100), (9.0, 40.0)]))


def test_a_new_level_becomes_the_usual():
    guard = StepGuard(GROUP, spike_deviations=6)
    _judge(guard, 0, _usual(128))
    risen = [(loss, 20 * norm) for loss, norm in _usual(200)]
    assert sum(_judge(guard, 128, risen)) < 10


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_finite_loss_or_norm_is_left_out_and_forgotten(value: float):
    guard = StepGuard(GROUP, spike_deviations=6)
    _judge(guard, 0, _usual(70))
    assert _judge(guard, 70, [(value, 2.0), (5.0, value)]) == [1.0, 1.0]
    assert not any(_judge(guard, 72, _usual(10)))
    guard.report(82, 1e-3)
    _judge(guard, 82, [(value, value)] * 8)
    with pytest.raises(DivergedError, match=r"last 8 steps are not finite: lower learning_rate 0\.001"):
        guard.report(90, 1e-3)


def test_a_guard_resumes_with_what_it_remembers():
    one, other = StepGuard(GROUP, spike_deviations=6), StepGuard(GROUP, spike_deviations=6)
    _judge(one, 0, _usual(90))
    other.load_state({name: tensor.clone() for name, tensor in one.state().items()})
    later = [(5.0, 3.1), (5.4, 2.0), (5.9, 2.0), (float("nan"), 2.0), *_usual(60)]
    assert _judge(one, 90, later) == _judge(other, 90, later)
    torch.testing.assert_close(other.state(), one.state(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_run_may_not_end_with_a_step_that_is_not_finite(value: float):
    guard = StepGuard(GROUP, spike_deviations=6)
    _judge(guard, 0, [(5.0, 2.0), (value, 2.0), (5.0, 2.0)])
    guard.check_end(3, 1e-3)
    _judge(guard, 3, [(value, 2.0), (5.0, value)])
    with pytest.raises(DivergedError, match=r"diverged by step 5: .* last 2 steps are not finite: lower .* 0\.001"):
        guard.check_end(5, 1e-3)


def test_an_evaluation_that_is_not_finite_ends_a_run():
    check_evaluation(3, {"loss": 2.0, "f1": 0.0}, 1e-3)
    for value in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(DivergedError, match=rf"diverged by step 3: loss is {value}: lower"):
            check_evaluation(3, {"f1": 0.0, "loss": value}, 1e-3)
