from pathlib import Path

import pytest
import torch

from bertkit.training import metrics as matrix_peak
from bertkit.training.metrics import StepProfile, measure_matrix_peak


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


def _record(folder: Path, steps: int) -> None:
    with StepProfile(folder) as profile:
        for _ in range(steps):
            torch.ones(2, 2) @ torch.ones(2, 2)
            profile.step()


@pytest.mark.parametrize(("steps", "said"), [(5, "profile of 1 step:"), (6, "profile of 2 steps:"), (9, "of 4 steps:")])
def test_a_profile_says_how_many_steps_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], steps: int, said: str
):
    _record(tmp_path / "profile", steps)
    assert said in capsys.readouterr().err
    (products,) = (line for line in (tmp_path / "profile/table.txt").read_text().splitlines() if "aten::mm" in line)
    assert products.split()[-1] == said.split()[-2]


@pytest.mark.parametrize(("steps", "steps_taken"), [(0, "0 steps"), (3, "3 steps"), (4, "4 steps")])
def test_a_run_too_short_for_a_profile_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], steps: int, steps_taken: str
):
    _record(tmp_path / "profile", steps)
    assert f"no profile: the first 4 steps after a start are not recorded, and the run had {steps_taken}" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "profile").exists()


def test_a_run_that_fails_says_nothing_of_its_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(KeyboardInterrupt), StepProfile(tmp_path):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == ""
