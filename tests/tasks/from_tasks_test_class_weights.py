import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from bertkit.foundation.errors import InputError
from bertkit.tasks.class_weights import class_weights

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
