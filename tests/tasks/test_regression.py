import numpy as np
import pytest
import torch

from bare_instances import bare_instances
from bertkit.core.errors import InputError
from bertkit.tasks.predictions import ScorePrediction
from bertkit.tasks.regression import Regression

TASK = Regression(max_length=16)


@pytest.mark.parametrize("label", ["nan", "inf", "-inf", float("nan"), "high", "", None])
def test_what_is_no_finite_number_is_named_with_its_row(label: object):
    with pytest.raises(InputError, match=r"scores\.tsv, row 3"):
        TASK.targets(["1.5", label], lambda index: f"scores.tsv, row {index + 2}")


def test_numbers_are_taken_from_text_and_from_numbers():
    assert TASK.targets(["1.5", 2, 3.25], str).tolist() == [1.5, 2.0, 3.25]


def test_the_loss_is_the_summed_squared_error():
    assert float(TASK.loss(torch.tensor([[1.0], [4.0]]), torch.tensor([3.0, 4.5]), torch.arange(3))) == pytest.approx(
        4.25
    )


def test_scores_are_decoded_as_they_are():
    assert TASK.decode(np.array([[2.5]], np.float32), bare_instances(1)) == [ScorePrediction(2.5)]


def test_metrics_correlate_scores_with_labels():
    figures = TASK.scorer.scores(torch.tensor([[1.0], [2.0], [9.0]]), bare_instances(3, torch.tensor([1.0, 2.0, 3.0])))
    assert figures["spearman"] == pytest.approx(1)
    assert figures["pearson"] < 1
