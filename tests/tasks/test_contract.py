import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bertkit.tasks.choice import MultipleChoice
from bertkit.tasks.classification import Classification
from bertkit.tasks.contract import IGNORED, LossShape
from bertkit.tasks.tagging.task import Tagging

CLASSES = ("O", "B-A", "I-A")
WEIGHTS = torch.tensor([0.5, 1.0, 3.0])


def _by_hand(logits: Tensor, target: int, smoothing: float, weights: Tensor) -> float:
    """Cross-entropy with the smoothed target, each class's part times its weight."""
    count = len(logits)
    wanted = torch.full((count,), smoothing / count)
    wanted[target] += 1 - smoothing
    # The share of the right class has the weight of the right class, what is spread has that of where it goes.
    weighted = weights * smoothing / count
    weighted[target] += weights[target] * (1 - smoothing)
    assert float(wanted.sum()) == pytest.approx(1)
    return float(-(weighted * logits.log_softmax(-1)).sum())


@given(
    targets=st.lists(st.integers(0, 2), min_size=1, max_size=6),
    smoothing=st.sampled_from([0.0, 0.1, 0.5]),
    weighted=st.booleans(),
    seed=st.integers(0, 99),
)
def test_classes_and_tags_are_smoothed_and_weighed(targets: list[int], smoothing: float, weighted: bool, seed: int):
    logits = torch.randn(len(targets), 3, generator=torch.Generator().manual_seed(seed))
    weights = WEIGHTS if weighted else torch.ones(3)
    shape = LossShape(label_smoothing=smoothing, class_weights=WEIGHTS if weighted else None)
    expected = sum(_by_hand(row, target, smoothing, weights) for row, target in zip(logits, targets, strict=True))
    bounds = torch.arange(len(targets) + 1)
    loss = Classification(classes=CLASSES, max_length=4).loss(logits, torch.tensor(targets), bounds, shape)
    assert float(loss) == pytest.approx(expected, abs=1e-4)

    with_pieces = torch.tensor([place for target in targets for place in (target, IGNORED)])
    tagging = Tagging(classes=CLASSES, max_length=4)
    loss = tagging.loss(logits.repeat_interleave(2, 0), with_pieces, torch.tensor([0, len(with_pieces)]), shape)
    assert float(loss) == pytest.approx(expected, abs=1e-4)


def test_a_choice_is_smoothed_over_the_choices_of_its_own_question():
    rows = [torch.tensor([1.0, -2.0]), torch.tensor([0.5, 0.0, 3.0, -1.0])]
    logits = torch.cat(rows)[:, None].requires_grad_()
    targets, bounds = torch.tensor([1, 2]), torch.tensor([0, 2, 6])
    loss = MultipleChoice(max_length=4).loss(logits, targets, bounds, LossShape(label_smoothing=0.1))
    expected = sum(
        _by_hand(row, int(target), 0.1, torch.ones(len(row))) for row, target in zip(rows, targets, strict=True)
    )
    assert loss.item() == pytest.approx(expected, abs=1e-5)
    loss.backward()
    assert logits.grad is not None
    wanted = torch.cat(
        [
            row.softmax(-1) - (0.1 / len(row) + 0.9 * (torch.arange(len(row)) == target))
            for row, target in zip(rows, targets, strict=True)
        ]
    )
    torch.testing.assert_close(logits.grad.squeeze(-1), wanted)
