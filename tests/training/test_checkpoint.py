import errno
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributed.checkpoint import HuggingFaceStorageWriter

from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import InputError, ResourceError
from bertkit.training.checkpoint import Checkpoints, Progress

SHARD = "shard-00001-model-00001-of-00001.safetensors"


def _tensors(step: float) -> dict[str, Tensor]:
    return {"w": torch.full((3,), float(step)), "updates": torch.tensor(int(step))}


def _save(folder: Path, *steps: int) -> None:
    with Checkpoints(folder, keep=2, group=ProcessGroup()) as checkpoints:
        for step in steps:
            checkpoints.save(_tensors(step), Progress(step, {"seconds": 1.5}))


def _load(folder: Path) -> tuple[Progress | None, dict[str, Tensor]]:
    tensors = _tensors(0)
    return Checkpoints(folder, keep=2, group=ProcessGroup()).load(tensors), tensors


def test_the_newest_checkpoint_comes_back_and_old_ones_go(tmp_path: Path):
    _save(tmp_path, 5, 10, 15)
    found, tensors = _load(tmp_path)
    assert found == Progress(15, {"seconds": 1.5})
    assert tensors["w"].tolist() == [15.0] * 3
    assert tensors["updates"] == 15
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000015"]


def test_what_changes_after_saving_is_not_saved(tmp_path: Path):
    tensors = _tensors(5)
    with Checkpoints(tmp_path, keep=2, group=ProcessGroup()) as checkpoints:
        checkpoints.save(tensors, Progress(5, {}))
        tensors["w"].zero_()
    assert _load(tmp_path)[1]["w"].tolist() == [5.0] * 3


@pytest.mark.parametrize("file", [SHARD, "state.json"])
def test_a_checkpoint_cut_in_the_middle_is_passed_over_and_named(tmp_path: Path, file: str, capsys):
    _save(tmp_path, 5, 10)
    path = tmp_path / "step-00000010" / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found, tensors = _load(tmp_path)
    assert found is not None
    assert found.step == tensors["updates"] == 5
    assert "step-00000010" in capsys.readouterr().err


@pytest.mark.parametrize(
    "state",
    ["{}", "[]", '{"step": "10", "progress": {}, "sha256": {}}', '{"step": 10, "progress": {}, "sha256": {}}'],
)
def test_a_checkpoint_whose_state_was_changed_is_passed_over_and_named(tmp_path: Path, state: str, capsys):
    _save(tmp_path, 5, 10)
    (tmp_path / "step-00000010" / "state.json").write_text(state)
    found, tensors = _load(tmp_path)
    assert found is not None
    assert found.step == tensors["updates"] == 5
    assert "step-00000010" in capsys.readouterr().err


def test_no_whole_checkpoint_among_damaged_ones_is_an_error(tmp_path: Path):
    _save(tmp_path, 5)
    (tmp_path / "step-00000005" / "state.json").write_text("{")
    with pytest.raises(InputError, match="--no-resume"):
        _load(tmp_path)


def test_a_fresh_folder_has_none(tmp_path: Path):
    assert _load(tmp_path)[0] is None


def test_a_full_disk_is_named_and_the_checkpoint_before_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _save(tmp_path, 5)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(HuggingFaceStorageWriter, "write_data", full)
    with pytest.raises(ResourceError, match=r"no space left on the disk of .*step-00000010"):
        _save(tmp_path, 10)
    found, tensors = _load(tmp_path)
    assert found is not None
    assert found.step == tensors["updates"] == 5
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000005"]
