"""Queries and keys turned by their positions."""

import pytest
import torch

from bertkit.model.rotary import Rotation


def _rotation(count: int = 70) -> Rotation:
    return Rotation.of(torch.arange(count), 8, 100.0)


def test_scores_depend_on_distances_alone_and_values_stay():
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, 8, dtype=torch.float64)
    same = torch.stack((query, key, value), 1).expand(128, 3, 2, 8)
    turned = _rotation(128).turn(same)
    scores = torch.einsum("tad,sad->ats", turned[:, 0], turned[:, 1])
    for shift in (-40, -1, 0, 7):
        diagonal = scores.diagonal(shift, 1, 2)
        torch.testing.assert_close(diagonal, diagonal[:, :1].expand_as(diagonal), rtol=1e-4, atol=1e-4)
    assert torch.equal(turned[:, 2], same[:, 2])
    torch.testing.assert_close(turned.norm(dim=-1), same.norm(dim=-1), rtol=1e-6, atol=1e-6)


def test_every_pair_of_dimensions_turns_at_its_own_pace():
    """The second half is to the first what imaginary parts are to real ones."""
    given = torch.randn(128, 3, 2, 8, dtype=torch.float64)
    turned = _rotation(128).turn(given)
    pace = 100.0 ** (-torch.arange(4) / 4)
    factor = torch.polar(torch.ones(128, 4, dtype=torch.float64), torch.arange(128)[:, None].double() * pace.double())
    expected = torch.complex(*given[:, :2].chunk(2, -1)) * factor[:, None, None]
    torch.testing.assert_close(torch.complex(*turned[:, :2].chunk(2, -1)), expected, rtol=1e-5, atol=1e-5)


def test_the_gradient_is_turned_back():
    given = torch.randn(128, 3, 1, 8, dtype=torch.float64, requires_grad=True)
    rotation = _rotation(128)
    assert torch.autograd.gradcheck(rotation.turn, (given[:, :, :, :],), fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_turned_in_float32_and_rounded_once(dtype: torch.dtype):
    given = torch.randn(128, 3, 2, 8).to(dtype)
    assert torch.equal(_rotation(128).turn(given), _rotation(128).turn(given.float()).to(dtype))
