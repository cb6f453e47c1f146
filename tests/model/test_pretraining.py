import pytest
import torch
from torch.nn import functional as F

from bertkit.model import pretraining as module
from bertkit.model.pretraining import masked_cross_entropy


def _inputs(dtype: torch.dtype = torch.float32):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(192, 24, generator=generator, dtype=dtype).requires_grad_()
    weight = torch.randn(70, 24, generator=generator, dtype=dtype).requires_grad_()
    bias = torch.randn(70, generator=generator, dtype=dtype).requires_grad_()
    return hidden, weight, bias, torch.randint(70, (150,), generator=generator)


@pytest.fixture
def chunked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Several chunks of several blocks; the shapes of all logits that are made."""
    shapes: list[tuple[int, ...]] = []
    product = torch.addmm
    monkeypatch.setattr(module, "_CHUNK_BYTES", 70 * 64 * 4)
    monkeypatch.setattr(module, "_BLOCK_LOGITS", 70 * 10)

    def recorded(*tensors: torch.Tensor) -> torch.Tensor:
        logits = product(*tensors)
        shapes.append(tuple(logits.shape))
        return logits

    monkeypatch.setattr(torch, "addmm", recorded)
    return shapes


def test_chunks_give_the_loss_and_the_gradients_of_the_whole(chunked: list[tuple[int, ...]]):
    hidden, weight, bias, labels = _inputs(torch.float64)
    logits = F.linear(hidden, weight, bias)[: len(labels)]
    expected = F.cross_entropy(logits, labels, reduction="sum")
    gradients = torch.autograd.grad(0.3 * expected, (hidden, weight, bias))

    total, correct = masked_cross_entropy(
        *(x.detach().float().requires_grad_() for x in (hidden, weight, bias)), labels
    )
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    assert int(correct) == int((logits.argmax(-1) == labels).sum())
    assert chunked == [(64, 70)] * 3

    parameters = [x.detach().float().requires_grad_() for x in (hidden, weight, bias)]
    (0.3 * masked_cross_entropy(*parameters, labels)[0]).backward()
    for parameter, gradient in zip(parameters, gradients, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient.float(), rtol=1e-5, atol=1e-6)


def test_chunks_multiply_in_the_precision_of_autocast(chunked: list[tuple[int, ...]]):
    parameters = _inputs()
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = masked_cross_entropy(*parameters)
        logits = F.linear(*parameters[:3])[: len(parameters[3])]
    expected = F.cross_entropy(logits.float(), parameters[3], reduction="sum")
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    gradients = torch.autograd.grad(total, parameters[:3])
    for gradient, wanted in zip(gradients, torch.autograd.grad(expected, parameters[:3]), strict=True):
        assert gradient.dtype == torch.float32
        assert float((gradient - wanted).norm() / wanted.norm()) < 0.01


def test_without_gradients_nothing_but_the_loss_is_made(chunked: list[tuple[int, ...]]):
    hidden, weight, bias, labels = _inputs()
    with torch.no_grad():
        total, _ = masked_cross_entropy(hidden, weight, bias, labels)
    assert not total.requires_grad
    assert len(chunked) == 3


def test_of_several_highest_logits_the_first_counts_as_the_answer():
    hidden, bias = torch.ones(4, 1), torch.tensor([1.0, 3.0, 3.0, 2.0, 3.0])
    labels = torch.tensor([1, 2, 4, 0])
    assert int(masked_cross_entropy(hidden, torch.zeros(5, 1), bias, labels)[1]) == 1


def test_a_loss_where_the_answers_chance_is_no_float_is_exact():
    hidden, weight, bias = torch.ones(1, 1), torch.tensor([[200.0], [0.0], [0.0]]), torch.zeros(3)
    total, _ = masked_cross_entropy(hidden, weight.requires_grad_(), bias, torch.tensor([1]))
    total.backward()
    assert float(total.detach()) == 200.0
    assert weight.grad is not None and weight.grad.tolist() == [[1.0], [-1.0], [0.0]]


def test_without_labels_loss_and_gradients_are_zero():
    hidden, weight, bias, _ = _inputs()
    total, correct = masked_cross_entropy(hidden, weight, bias, torch.empty(0, dtype=torch.int64))
    total.backward()
    assert (float(total.detach()), int(correct)) == (0.0, 0)
    assert all(float(parameter.grad.abs().max()) == 0.0 for parameter in (hidden, weight, bias))  # type: ignore[union-attr]


def test_chunks_are_of_one_size(chunked: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch):
    hidden, weight, bias, labels = _inputs()
    monkeypatch.setattr(module, "_CHUNK_BYTES", 70 * 192 * 4)
    masked_cross_entropy(hidden.repeat(2, 1)[:256], weight, bias, labels.repeat(2)[:256])
    assert chunked == [(128, 70)] * 2
