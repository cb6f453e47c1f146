import errno
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
import torch
from tensorboard.summary.writer.record_writer import RecordWriter

from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import DivergedError, ResourceError
from bertkit.training import metrics as matrix_peak
from bertkit.training.metrics import MetricsLog, StepProfile, measure_matrix_peak
from bertkit.training.run_folder import RunFolder


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


@pytest.mark.parametrize("place", ["write", "flush", "close"])
def test_a_disk_that_is_full_for_tensorboard_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd, place: str
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    hook = threading.excepthook
    with (
        pytest.raises(ResourceError, match=r"no space left on the disk of .*run: free some"),
        MetricsLog(RunFolder(tmp_path / "run"), 0, ProcessGroup()) as log,
    ):
        monkeypatch.setattr(RecordWriter, place, full)
        for step in range(20):
            log.write(step, "train", {"loss": 1.0})
            time.sleep(0.01)
    assert capfd.readouterr().err == ""
    assert threading.excepthook is hook


def test_a_run_folder_that_is_removed_is_one_line(tmp_path: Path, capfd):
    with (
        pytest.raises(ResourceError, match=r"run cannot be written .*: its folder was removed"),
        MetricsLog(RunFolder(tmp_path / "run"), 0, ProcessGroup()) as log,
    ):
        shutil.rmtree(tmp_path / "run")
        for step in range(20):
            log.write(step, "train", {"loss": 1.0})
            time.sleep(0.01)
    assert capfd.readouterr().err == ""


def test_an_error_of_the_run_comes_before_those_of_its_log(tmp_path: Path):
    with pytest.raises(DivergedError), MetricsLog(RunFolder(tmp_path / "run"), 0, ProcessGroup()) as log:
        log.write(0, "train", {"loss": 1.0})
        shutil.rmtree(tmp_path / "run")
        raise DivergedError("of the run")


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
