import pytest
import torch

from bertkit.training import matrix_peak
from bertkit.training.matrix_peak import measure_matrix_peak


def test_the_matrices_are_random_and_the_default_generator_stays(monkeypatch: pytest.MonkeyPatch):
    factors = []

    def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        factors.append((left, right))
        return left @ right

    monkeypatch.setattr(torch, "mm", product)
    monkeypatch.setattr(matrix_peak, "_SIZES", {"cpu": 64})
    before = torch.get_rng_state()
    assert measure_matrix_peak(torch.device("cpu"), "float32") > 0
    assert torch.equal(torch.get_rng_state(), before)
    left, right = factors[-1]
    assert left.shape == right.shape == (64, 64)
    assert len(left.unique()) > 4000 and len(right.unique()) > 4000 and not torch.equal(left, right)
