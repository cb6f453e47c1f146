import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bertkit.core.errors import InputError
from bertkit.core.lazy import lazy_module
from bertkit.core.machine import default_threads
from bertkit.inference.backends import choose, onnx_runtime
from bertkit.inference.backends.choose import open_backend
from bertkit.pretrained.folder import ModelFolder
from small_models import CONFIGS, small_folder


class _Fake:
    """A backend that takes so long, and counts how often it ran."""

    layers = range(4)

    def __init__(self, name: str, seconds: float) -> None:
        self.name, self._seconds, self.runs = name, seconds, 0

    def obstacle(self, folder: object, options: object) -> None:
        return None

    def open(self, folder: object, options: object) -> "_Fake":
        return self

    def run(self, batch: object, want: object) -> tuple[np.ndarray]:
        self.runs += 1
        time.sleep(self._seconds)
        return (np.zeros((1, 1), np.float32),)


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    small_folder(tmp_path / "model", CONFIGS["bert"], "BertModel")
    return ModelFolder.open(tmp_path / "model")


def test_the_fastest_is_taken_and_remembered(
    folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    fakes = {"onnx": _Fake("onnx", 0.02), "openvino": _Fake("openvino", 0.0)}
    monkeypatch.setattr(choose, "backend_family", fakes.__getitem__)
    monkeypatch.setattr(choose, "_candidates", lambda device: list(fakes))
    cache = tmp_path / "cache"
    assert open_backend(folder, device="cpu", cache=cache) is fakes["openvino"]
    assert "backend openvino (float32" in capsys.readouterr().err
    runs = fakes["openvino"].runs
    assert open_backend(folder, device="cpu", cache=cache) is fakes["openvino"]
    assert fakes["openvino"].runs == runs and capsys.readouterr().err == ""

    (remembered,) = cache.rglob("*.json")
    for broken in ("{", "[]", json.dumps({"backend": "of another version"})):
        remembered.write_text(broken)
        assert open_backend(folder, device="cpu", cache=cache) is fakes["openvino"]
        assert json.loads(remembered.read_text())["backend"] == "openvino"
    assert fakes["openvino"].runs > runs


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"name": "tensorrt"}, "backend 'tensorrt' is unknown: use one of auto, native, onnx, openvino, torch"),
        ({"precision": "fp4"}, "precision 'fp4' is unknown: use one of auto, bf16, float32, int8"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"name": "torch", "precision": "int8", "device": "cuda"}, "int8 is for CPUs"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(folder: ModelFolder, choices: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        open_backend(folder, **choices)  # type: ignore[arg-type]


def test_threads_follow_the_quota_of_the_control_group(tmp_path: Path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/box/inner\n")
    (tmp_path / "sys/fs/cgroup/box/inner").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/box/cpu.max").write_text("50000 100000\n")
    (tmp_path / "sys/fs/cgroup/box/inner/cpu.max").write_text("max 100000\n")
    assert default_threads({}, tmp_path) == 1
    assert default_threads({"OMP_NUM_THREADS": "1"}) == 1


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there_is_one_line(folder: ModelFolder, device: str):
    with pytest.raises(InputError, match=f"device '{device}' cannot be used"):
        open_backend(folder, device=device)


def test_auto_leaves_out_a_backend_whose_package_is_damaged(
    folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("onnx", reason="needs the package onnx")
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libmissing.so: no such file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    monkeypatch.setattr(onnx_runtime, "onnxruntime", lazy_module("onnxruntime"))
    monkeypatch.setattr(choose, "version", lambda name: "1")
    monkeypatch.setattr(choose, "_candidates", lambda device: ["onnx", "torch"])
    assert open_backend(folder, device="cpu", cache=tmp_path / "cache").name == "torch"
