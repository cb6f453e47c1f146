import torch

from bertkit.model.dropout import Dropout, keep_mask


def test_the_share_dropped_is_the_rate_and_the_mean_is_kept():
    torch.manual_seed(0)
    out = Dropout(0.1)(torch.ones(400_001))
    assert abs(float((out == 0).float().mean()) - 0.1) < 0.002  # about four deviations
    assert abs(float(out.mean()) - 1) < 0.003


def test_nothing_is_dropped_out_of_training_or_at_rate_zero():
    ones = torch.ones(1000)
    assert Dropout(0.5).eval()(ones) is ones
    assert Dropout(0.0)(ones) is ones


def test_neighbours_are_dropped_independently():
    torch.manual_seed(0)
    mask = keep_mask(torch.Size([1_000_000]), 0.5, torch.device("cpu")).double() - 0.5
    for lag in (1, 2, 3, 4, 64):
        assert abs(float((mask[:-lag] * mask[lag:]).mean()) * 4) < 0.005
