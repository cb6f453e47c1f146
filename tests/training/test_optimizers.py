"""LAMB and StableAdamW against transcriptions of the papers, and what all optimisers have in common."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import nn

from bertkit.core.errors import InputError
from bertkit.training.optimizers import AdamW, new_optimizer
from bertkit.training.options import OptimizerName, OptimizerOptions
from bertkit.training.schedule import learning_rate
from parity_table import ParityTable
from reference_optimizers import BETA1, BETA2, EPSILON, ReferenceLamb, ReferenceStableAdamW


def _parameters() -> list[tuple[str, nn.Parameter]]:
    torch.manual_seed(0)
    return [("matrix", nn.Parameter(torch.randn(5, 4))), ("vector", nn.Parameter(torch.randn(4)))]


def _set_gradients(parameters: list[tuple[str, nn.Parameter]], step: int, scale: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(step)
    for _, parameter in parameters:
        parameter.grad = scale * torch.randn(parameter.shape, generator=generator)


def test_frozen_parameters_are_left_alone():
    parameters = _parameters()
    parameters[0][1].requires_grad_(False)
    before = parameters[0][1].clone()
    optimizer = AdamW(parameters, OptimizerOptions())
    parameters[1][1].grad = torch.ones(4)
    optimizer.update(0.1, optimizer.gradient_norm())
    assert torch.equal(parameters[0][1], before)
    assert "first.matrix" not in optimizer.state()


def test_the_rate_rises_from_zero_and_steps_down_where_warm_up_ends():
    options = OptimizerOptions(learning_rate=1.0, warmup_share=0.1)
    rates = [learning_rate(step, 100, options) for step in range(101)]
    assert rates[0] == 0.0
    assert rates[9] == pytest.approx(0.9)
    assert rates[10] == pytest.approx(0.9)
    assert rates[50] == pytest.approx(0.5)
    assert rates[100] == 0.0


STEPS, DECAY = 300, 0.05
OPTIMIZERS: tuple[OptimizerName, ...] = ("adamw", "lamb", "stable-adamw")


def _weights() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {"matrix": draw.normal(size=(6, 5)), "vector": draw.normal(size=5), "empty": np.zeros((3, 4))}


def _gradients(weights: dict[str, np.ndarray], step: int) -> dict[str, np.ndarray]:
    """Of a bowl, with noise; every seventh step's are far larger, and one matrix has none at first."""
    draw = np.random.default_rng(step)
    size = 40.0 if step % 7 == 6 else 1.0
    found = {name: size * (value - 0.3 + draw.normal(size=value.shape)) for name, value in weights.items()}
    if step < 3:
        found["empty"] = np.zeros_like(found["empty"])
    return found


def _bowl_parameters(dtype: torch.dtype) -> dict[str, nn.Parameter]:
    return {name: nn.Parameter(torch.from_numpy(value).to(dtype)) for name, value in _weights().items()}


def _bits(*named: Mapping[str, torch.Tensor]) -> list[bytes]:
    return [tensor.detach().numpy().tobytes() for tensors in named for tensor in tensors.values()]


def _options(optimizer: OptimizerName, **changes: float) -> OptimizerOptions:
    return OptimizerOptions(
        optimizer=optimizer, beta1=BETA1, beta2=BETA2, epsilon=EPSILON, weight_decay=DECAY, **changes
    )


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str)
@pytest.mark.parametrize(
    ("optimizer", "reference"), [("lamb", ReferenceLamb), ("stable-adamw", ReferenceStableAdamW)], ids=str
)
def test_every_step_is_that_of_the_paper(
    parity_table: ParityTable,
    optimizer: OptimizerName,
    reference: type[ReferenceLamb | ReferenceStableAdamW],
    dtype: torch.dtype,
    bound: float,
):
    parameters = _bowl_parameters(dtype)
    found = new_optimizer(parameters.items(), _options(optimizer, max_grad_norm=np.inf))
    expected = reference({name: value.detach().numpy() for name, value in parameters.items()}, DECAY)
    worst = 0.0
    for step in range(STEPS):
        rate = 0.02 * (1 - step / STEPS)
        gradients = _gradients(expected.x, step)
        for name, parameter in parameters.items():
            parameter.grad = torch.from_numpy(gradients[name]).to(dtype)
        found.update(rate, found.gradient_norm())
        expected.step(gradients, rate)
        for name, parameter in parameters.items():
            worst = max(worst, float(np.abs(parameter.detach().double().numpy() - expected.x[name]).max()))
    assert all(np.abs(expected.x[name] - value).max() > 0.01 for name, value in _weights().items())
    if isinstance(expected, ReferenceStableAdamW):
        assert 30 < expected.clipped < 3 * STEPS - 30
    kind = f"the paper's algorithm, {str(dtype).removeprefix('torch.')}"
    measure = "largest difference of a weight"
    parity_table.check(f"weights over {STEPS} steps", optimizer, kind, worst, bound, measure, cases=STEPS)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_gradients_are_scaled_down_to_the_global_norm(optimizer: OptimizerName):
    ends = []
    for size in (1.0, 1000.0):
        parameters = _bowl_parameters(torch.float64)
        found = new_optimizer(parameters.items(), _options(optimizer, max_grad_norm=0.5))
        for step in range(3):
            for name, value in _gradients(_weights(), step).items():
                parameters[name].grad = size * torch.from_numpy(value)
            norm = np.sqrt(sum((size * value**2 * size).sum() for value in _gradients(_weights(), step).values()))
            assert float(found.gradient_norm()) == pytest.approx(norm)
            found.update(0.1, found.gradient_norm())
        ends.append(parameters)
    for name, parameter in ends[0].items():
        torch.testing.assert_close(parameter, ends[1][name], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_another_resumes_from_the_state_of_one(optimizer: OptimizerName):
    whole, half = _bowl_parameters(torch.float32), _bowl_parameters(torch.float32)
    one, first = (new_optimizer(each.items(), _options(optimizer)) for each in (whole, half))
    for step in range(8):
        if step == 4:
            second = new_optimizer(half.items(), _options(optimizer))
            second.load_state({name: tensor.clone() for name, tensor in first.state().items()})
            first = second
        for parameters, used in ((whole, one), (half, first)):
            for name, value in _gradients(_weights(), step).items():
                parameters[name].grad = torch.from_numpy(value).float()
            used.update(0.1, used.gradient_norm())
    for name, parameter in whole.items():
        assert torch.equal(parameter, half[name])


@pytest.mark.parametrize("broken", [np.nan, np.inf, 1.0])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_skipped_update_changes_no_bit_and_is_counted(optimizer: OptimizerName, broken: float):
    parameters = _bowl_parameters(torch.float32)
    found = new_optimizer(parameters.items(), _options(optimizer))
    for step, skipped in enumerate((True, False, False, True)):
        before = _bits(parameters, found.first_moments, found.second_moments)
        for name, value in _gradients(_weights(), step).items():
            value.flat[0] = broken if skipped else value.flat[0]
            parameters[name].grad = torch.from_numpy(value).float()
        found.update(0.1, found.gradient_norm(), torch.tensor(float(skipped)))
        after = _bits(parameters, found.first_moments, found.second_moments)
        assert (after == before) == skipped
    assert found.updates == 4


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_update_that_might_have_been_skipped_has_the_bits_of_any_other(optimizer: OptimizerName):
    judged, unjudged = _bowl_parameters(torch.float32), _bowl_parameters(torch.float32)
    for parameters, skip in ((judged, torch.tensor(0.0)), (unjudged, None)):
        found = new_optimizer(parameters.items(), _options(optimizer))
        for step in range(5):
            for name, value in _gradients(_weights(), step).items():
                parameters[name].grad = torch.from_numpy(value).float()
            found.update(0.1, found.gradient_norm(), skip)
    assert _bits(judged) == _bits(unjudged)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_reads_nothing_from_the_device(optimizer: OptimizerName):
    """Tensors on the meta device have no values to read."""
    parameters = {name: nn.Parameter(value.to("meta")) for name, value in _bowl_parameters(torch.float32).items()}
    found = new_optimizer(parameters.items(), _options(optimizer))
    for parameter in parameters.values():
        parameter.grad = torch.empty_like(parameter)
    norm = found.gradient_norm()
    found.update(0.1, norm, norm.isnan().float())
    assert norm.is_meta and found.updates == 1


def test_bias_is_corrected_as_published_unless_the_options_say_otherwise():
    assert [OptimizerOptions(optimizer=name).corrects_bias for name in OPTIMIZERS] == [False, True, True]
    assert OptimizerOptions(bias_correction=True).corrects_bias
    assert not OptimizerOptions(optimizer="lamb", bias_correction=False).corrects_bias


def test_shares_that_do_not_fit_into_a_run_are_refused():
    with pytest.raises(InputError, match="more than the whole run"):
        OptimizerOptions(schedule="trapezoidal", warmup_share=0.5, decay_share=0.6)
    with pytest.raises(InputError, match="final_share must be in"):
        OptimizerOptions(final_share=1.5)
