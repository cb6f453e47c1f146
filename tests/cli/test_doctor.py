import json
from pathlib import Path

import pytest

from bertkit.cli.main import USER_ERROR, run


def test_a_preset_is_counted_part_by_part(capsys: pytest.CaptureFixture[str]):
    assert run(["doctor", "--model", "base"]) == 0
    printed = capsys.readouterr().out
    for part in ("23,440,896", "393,216", "7,087,872 each", "85,054,464", "590,592", "109,482,240", "110,106,428"):
        assert part in printed


def test_json_holds_every_layer_and_the_sums(tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["doctor", "--model", str(tiny_model), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert counts["architecture"] == "BertForPreTraining"
    parts = [*counts["embeddings"].values(), *counts["layers"], counts["pooler"], *counts["heads"].values()]
    assert sum(parts) == counts["total"]
    assert counts["encoder"] == counts["total"] - sum(counts["heads"].values())


def test_an_unknown_model_is_one_line(capsys: pytest.CaptureFixture[str]):
    assert run(["doctor", "--model", "enormous"]) == USER_ERROR
    assert "enormous is no preset" in capsys.readouterr().err
