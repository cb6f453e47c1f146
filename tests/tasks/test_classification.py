import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from bare_instances import bare_instances
from bertkit.core.errors import InputError
from bertkit.tasks.classification import Classification, class_weights, classes_of
from bertkit.tasks.predictions import ClassPrediction

IGNORED = -100


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_balanced_weights_are_scikit_learns_and_their_mean_over_the_examples_is_1(labels: list[int]):
    targets = torch.tensor([*labels, IGNORED])
    weights = class_weights(("balanced",), "abcd", targets)
    there = sorted(set(labels))
    expected = compute_class_weight("balanced", classes=np.array(there), y=np.array(labels))
    assert weights[there].tolist() == pytest.approx(expected.tolist(), rel=1e-6)
    assert float(weights[labels].mean()) == pytest.approx(1, rel=1e-5)
    assert bool((weights > 0).all())


def test_given_weights_keep_their_ratios_and_the_size_of_a_step():
    weights = class_weights(("pos=3", "a=b=0.5"), ("neg", "pos", "a=b"), torch.tensor([0, 0, 0, 1]))
    assert (weights / weights[0]).tolist() == [1.0, 3.0, 0.5]
    assert float(weights[[0, 0, 0, 1]].mean()) == pytest.approx(1)


@pytest.mark.parametrize("wanted", ["new=2", "pos", "pos=", "pos=0", "pos=-1", "pos=nan", "pos=inf", "=2"])
def test_what_is_no_class_or_no_weight_is_named(wanted: str):
    with pytest.raises(InputError, match=f"class_weights '{wanted}'"):
        class_weights((wanted,), ("neg", "pos"), torch.tensor([0, 1]))


TASK = Classification(classes=("no", "yes"), max_length=16)


def _place(index: int) -> str:
    return f"table.csv, row {index + 2}"


def test_whole_numbers_are_ordered_by_size_and_words_by_letters():
    assert classes_of(["10", "9", "0"], _place) == ("0", "9", "10")
    assert classes_of([10, 9, 1.0], _place) == ("1", "9", "10")
    assert classes_of(["yes", "no", "10"], _place) == ("10", "no", "yes")


def test_fractions_are_no_classes():
    with pytest.raises(InputError, match=r"row 3.*0\.5.*--kind regression"):
        classes_of(["1", "0.5", "2"], _place)


@pytest.mark.parametrize("label", [None, float("nan"), "", "  ", 0.25, ["a"]])
def test_what_is_no_class_is_named_with_its_row(label: object):
    with pytest.raises(InputError, match="row 3"):
        TASK.targets(["yes", label], _place)


def test_an_unknown_label_is_named_with_its_row():
    with pytest.raises(InputError, match="row 2: label 'maybe' is unknown; training has 'no', 'yes'"):
        TASK.targets(["maybe"], _place)


def test_one_label_is_too_few():
    with pytest.raises(InputError, match="at least 2 labels"):
        Classification(classes=("only",), max_length=16)


def test_an_unknown_metric_is_refused():
    with pytest.raises(InputError, match=r"pearson.*accuracy"):
        Classification(classes=("a", "b"), max_length=16, metric_names=("pearson",))


def test_the_loss_is_a_sum_so_that_a_batch_can_be_cut():
    logits, targets = torch.randn(6, 2), TASK.targets(["yes", "no", "no"] * 2, _place)
    bounds = torch.arange(7)
    whole = TASK.loss(logits, targets, bounds)
    parts = TASK.loss(logits[:2], targets[:2], bounds[:3]) + TASK.loss(logits[2:], targets[2:], bounds[:5])
    torch.testing.assert_close(parts, whole)


def test_decoding_gives_the_likeliest_class_with_all_probabilities():
    prediction = TASK.decode(np.array([[0.0, 2.0]], np.float32), bare_instances(1))[0]
    assert isinstance(prediction, ClassPrediction)
    assert prediction.label == "yes"
    assert prediction.probabilities["yes"] == pytest.approx(1 / (1 + 2.718281828**-2))
    assert sum(prediction.probabilities.values()) == pytest.approx(1)


def test_metrics_come_in_the_order_asked_for():
    task = Classification(classes=("0", "1"), max_length=8, metric_names=("matthews", "accuracy"))
    logits = torch.tensor([[1.0, 0], [0, 1], [0, 1]])
    figures = task.scorer.scores(logits, bare_instances(3, torch.tensor([0, 1, 0])))
    assert list(figures) == ["matthews", "accuracy"]
    assert figures["accuracy"] == pytest.approx(2 / 3)


def test_white_space_around_a_label_is_no_part_of_it():
    assert classes_of([" 1", "1", "0 "], _place) == ("0", "1")
    task = Classification(classes=("bad", "good"), max_length=4)
    assert task.targets([" good", "bad\t"], _place).tolist() == [1, 0]
