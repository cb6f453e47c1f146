import json
from pathlib import Path

import pytest

from bertkit.cli.main import USER_ERROR, run
from bertkit.inference.backends.torch_int8 import find_weight_range


def test_a_model_is_quantized_and_its_figures_are_printed(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    if find_weight_range() is None:
        pytest.skip("torch has no exact int8 products on this CPU")
    out = tmp_path / "int8"
    assert run(["quantize", str(tiny_model), "--out", str(out), "--max-loss", "5"]) == 0
    printed = capsys.readouterr().out
    assert "cosine to float32, mean: " in printed
    assert "kept in float32: no layer" in printed
    assert f"report: {out / 'quantization.html'}" in printed
    command = ["quantize", str(tiny_model), "--out", str(out), "--max-loss", "5", "--json"]
    assert run(command) == USER_ERROR
    assert "is there already" in capsys.readouterr().err
    assert run([*command, "--overwrite", "--weight-range", "63"]) == 0
    assert json.loads(capsys.readouterr().out)["options"] == {"max_loss": 5.0, "weight_range": 63}


def test_a_limit_that_makes_no_sense_is_one_line(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["quantize", str(tiny_model), "--out", str(tmp_path / "out"), "--max-loss", "-1"]) == USER_ERROR
    assert capsys.readouterr().err == "bertkit: error: max_loss is -1.0: give points of 0 or more, such as 0.5\n"
