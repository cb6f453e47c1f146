import pytest
import torch
from torch import nn

from bertkit.training.optimizer import AdamW
from bertkit.training.options import OptimizerOptions
from bertkit.training.schedule import learning_rate


def _parameters() -> list[tuple[str, nn.Parameter]]:
    torch.manual_seed(0)
    return [("matrix", nn.Parameter(torch.randn(5, 4))), ("vector", nn.Parameter(torch.randn(4)))]


def _set_gradients(parameters: list[tuple[str, nn.Parameter]], step: int, scale: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(step)
    for _, parameter in parameters:
        parameter.grad = scale * torch.randn(parameter.shape, generator=generator)


def test_without_correction_the_trajectory_is_that_of_the_original_in_float64():
    options = OptimizerOptions(weight_decay=0.1, max_grad_norm=1.0)
    ours = _parameters()
    optimizer = AdamW(ours, options)
    weights = [parameter.detach().double().clone() for _, parameter in ours]
    first, second = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    for step in range(200):
        rate = learning_rate(step, 200, OptimizerOptions(learning_rate=0.01, warmup_share=0.1))
        _set_gradients(ours, step)
        gradients = [parameter.grad.double() for _, parameter in ours]
        norm = torch.sqrt(sum((gradient**2).sum() for gradient in gradients))
        for i, gradient in enumerate(gradients):
            clipped = gradient / max(1.0, float(norm))
            first[i] = 0.9 * first[i] + 0.1 * clipped
            second[i] = 0.999 * second[i] + 0.001 * clipped**2
            update = first[i] / (second[i].sqrt() + 1e-6)
            if weights[i].ndim > 1:
                update = update + 0.1 * weights[i]
            weights[i] = weights[i] - rate * update
        assert float(optimizer.step(rate)) == pytest.approx(float(norm), rel=1e-5)
    for (_, parameter), weight in zip(ours, weights, strict=True):
        torch.testing.assert_close(parameter.double(), weight, rtol=1e-5, atol=1e-5)


def test_with_correction_it_is_torch_adamw():
    options = OptimizerOptions(weight_decay=0.1, bias_correction=True, max_grad_norm=1e9)
    ours, theirs = _parameters(), _parameters()
    optimizer = AdamW(ours, options)
    groups = [
        {"params": [theirs[0][1]], "weight_decay": 0.1},
        {"params": [theirs[1][1]], "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, lr=0.01, eps=1e-6)
    for step in range(50):
        _set_gradients(ours, step)
        _set_gradients(theirs, step)
        optimizer.step(0.01)
        reference.step()
    for (_, a), (_, b) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_frozen_parameters_are_left_alone():
    parameters = _parameters()
    parameters[0][1].requires_grad_(False)
    before = parameters[0][1].clone()
    optimizer = AdamW(parameters, OptimizerOptions())
    parameters[1][1].grad = torch.ones(4)
    optimizer.step(0.1)
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
