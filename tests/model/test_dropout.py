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


def test_of_no_rows_nothing_is_dropped():
    rows = torch.ones(0, 3, requires_grad=True)
    out = Dropout(0.1)(rows)
    out.sum().backward()
    assert out.shape == (0, 3)


def test_neighbours_are_dropped_independently():
    torch.manual_seed(0)
    mask = keep_mask(torch.ones(1_000_000, dtype=torch.float64), 0.5) - 0.5
    for lag in (1, 2, 3, 4, 64):
        assert abs(float((mask[:-lag] * mask[lag:]).mean()) * 4) < 0.005


def test_the_default_generator_decides_alone():
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append([keep_mask(torch.ones(3, 1001), 0.1) for _ in range(2)])
    assert torch.equal(masks[0][0], masks[1][0])
    assert torch.equal(masks[0][1], masks[1][1])
    assert not torch.equal(masks[0][0], masks[0][1])
    assert not torch.equal(masks[0][0], masks[2][0])
