from pathlib import Path

import pytest
import torch

from bertkit.foundation.errors import InputError
from bertkit.training.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint


def _checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step, {"w": torch.full((3,), float(step))}, {"updates": torch.tensor(step)}, {"seconds": 1.5})


def test_the_newest_checkpoint_comes_back_and_old_ones_go(tmp_path: Path):
    for step in (5, 10, 15):
        save_checkpoint(tmp_path, _checkpoint(step), keep=2)
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 15
    assert found.weights["w"].tolist() == [15.0] * 3
    assert found.progress == {"seconds": 1.5}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000015"]


@pytest.mark.parametrize("file", ["weights.safetensors", "optimizer.safetensors", "state.json"])
def test_a_checkpoint_cut_in_the_middle_is_passed_over_and_named(tmp_path: Path, file: str, capsys):
    for step in (5, 10):
        save_checkpoint(tmp_path, _checkpoint(step), keep=2)
    path = tmp_path / "step-00000010" / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 5
    assert "step-00000010" in capsys.readouterr().err


def test_no_whole_checkpoint_among_damaged_ones_is_an_error(tmp_path: Path):
    save_checkpoint(tmp_path, _checkpoint(5), keep=2)
    (tmp_path / "step-00000005" / "state.json").write_text("{")
    with pytest.raises(InputError, match="--no-resume"):
        newest_checkpoint(tmp_path)


def test_a_fresh_folder_has_none(tmp_path: Path):
    assert newest_checkpoint(tmp_path) is None
