"""A thousand steps of the optimiser and the schedule against an independent transcription and against torch."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bertkit.model.config import BertConfig
from bertkit.model.pretraining import PretrainingModel
from bertkit.training.optimizers import AdamW
from bertkit.training.options import OptimizerOptions
from bertkit.training.schedule import learning_rate
from parity_table import ParityTable
from reference_adam import ReferenceAdam, rate_of

STEPS, INPUTS, CLASSES = 1000, 40, 7
WHAT, MEASURE = "weights over 1,000 steps", "largest difference of a weight"


def examples() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Noisy labels of random points; every fifth step's points are far out, so that the gradient's norm varies."""
    draw = np.random.default_rng(0)
    truth = draw.normal(size=(INPUTS, CLASSES))
    for step in range(STEPS):
        points = draw.normal(size=(16, INPUTS)) * (2.0 if step % 5 == 0 else 0.2)
        yield points, (points @ truth + 2 * draw.normal(size=(16, CLASSES))).argmax(1)


def regression(dtype: torch.dtype) -> dict[str, nn.Parameter]:
    """Softmax regression with BERT's first weights."""
    kernel = 0.02 * torch.randn(INPUTS, CLASSES, generator=torch.Generator().manual_seed(0))
    parts = {"kernel": kernel, "bias": torch.zeros(CLASSES)}
    return {name: nn.Parameter(value.to(dtype)) for name, value in parts.items()}


def backward(model: dict[str, nn.Parameter], points: np.ndarray, labels: np.ndarray) -> None:
    inputs = torch.from_numpy(points).to(model["kernel"].dtype)
    logits = inputs @ model["kernel"] + model["bias"]
    nn.functional.cross_entropy(logits, torch.from_numpy(labels)).backward()


def gradients(weights: dict[str, np.ndarray], points: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    logits = points @ weights["kernel"] + weights["bias"]
    error = np.exp(logits - logits.max(1, keepdims=True))
    error /= error.sum(1, keepdims=True)
    error[np.arange(len(labels)), labels] -= 1
    return {"kernel": points.T @ error / len(labels), "bias": error.sum(0) / len(labels)}


def largest_difference(model: dict[str, nn.Parameter], weights: dict[str, np.ndarray] | dict[str, Tensor]) -> float:
    return max(float((model[name].detach().double() - torch.as_tensor(weights[name])).abs().max()) for name in model)


@pytest.mark.parametrize(
    ("dtype", "rate"), [(torch.float64, 1e-4), (torch.float64, 1e-3), (torch.float32, 1e-4)], ids=str
)
def test_without_correction_a_thousand_steps_are_those_of_the_original(
    parity_table: ParityTable, dtype: torch.dtype, rate: float
):
    options = OptimizerOptions(learning_rate=rate, warmup_share=0.1)
    model = regression(dtype)
    optimizer = AdamW(model.items(), options)
    reference = ReferenceAdam({name: value.detach().numpy() for name, value in model.items()})
    worst, clipped = 0.0, 0
    for step, (points, labels) in enumerate(examples()):
        backward(model, points, labels)
        norm = optimizer.gradient_norm()
        optimizer.update(learning_rate(step, STEPS, options), norm)
        expected = reference.step(
            gradients(reference.weights, points, labels), rate_of(step, STEPS, rate, warmup_steps=STEPS // 10)
        )
        assert float(norm) == pytest.approx(expected, rel=1e-4)
        clipped += expected > options.max_grad_norm
        worst = max(worst, largest_difference(model, reference.weights))
    moved = largest_difference(regression(dtype), reference.weights)
    assert 100 < clipped < 900 and moved > 0.03
    kind = f"the original's Adam, {str(dtype).removeprefix('torch.')}, rate {rate:g}"
    parity_table.check(WHAT, "AdamW", kind, worst, 1e-6, MEASURE, cases=STEPS)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=str)
def test_with_correction_a_thousand_steps_are_torch_adamw(
    parity_table: ParityTable, dtype: torch.dtype, tolerance: float
):
    options = OptimizerOptions(bias_correction=True, max_grad_norm=1e9, learning_rate=1e-4, warmup_share=0.1)
    ours, theirs = regression(dtype), regression(dtype)
    optimizer = AdamW(ours.items(), options)
    reference = torch.optim.AdamW(
        [{"params": [theirs["kernel"]]}, {"params": [theirs["bias"]], "weight_decay": 0.0}],
        betas=(options.beta1, options.beta2),
        eps=options.epsilon,
        weight_decay=options.weight_decay,
        fused=False,
    )
    for step, (points, labels) in enumerate(examples()):
        rate = learning_rate(step, STEPS, options)
        for group in reference.param_groups:
            group["lr"] = rate
        reference.zero_grad()
        for model in (ours, theirs):
            backward(model, points, labels)
        optimizer.update(rate, optimizer.gradient_norm())
        reference.step()
    difference = largest_difference(ours, {name: value.detach() for name, value in theirs.items()})
    kind = f"torch.optim.AdamW, {str(dtype).removeprefix('torch.')}"
    parity_table.check(WHAT, "AdamW, bias correction", kind, difference, tolerance, MEASURE, cases=STEPS)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.0107, 0.29, 0.9])
def test_the_rate_of_every_step_is_that_of_the_original(share: float):
    options = OptimizerOptions(learning_rate=3e-4, warmup_share=share)
    warmup_steps = int(STEPS * share)
    for step in range(STEPS + 1):
        expected = rate_of(step, STEPS, 3e-4, warmup_steps)
        assert learning_rate(step, STEPS, options) == pytest.approx(expected, rel=1e-12, abs=0)


def test_weight_decay_leaves_out_what_the_original_leaves_out_by_name():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = PretrainingModel(BertConfig(vocab_size=60, **sizes))
    names = dict(model.named_parameters())
    weights = {name: value.detach().numpy().copy() for name, value in names.items()}
    optimizer = AdamW(names.items(), OptimizerOptions())
    for parameter in names.values():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.update(0.5, optimizer.gradient_norm())
    for name, value in names.items():
        left_out = "bias" in name or "norm" in name  # the original's "bias" and "LayerNorm"
        kept = 1.0 if left_out else 1 - 0.5 * 0.01
        np.testing.assert_allclose(value.detach().numpy(), kept * weights[name], rtol=1e-6, err_msg=name)
