from pathlib import Path

import pytest

from bertkit.core.errors import InputError
from bertkit.core.files import read_json, write_json
from bertkit.model.config import BertConfig
from bertkit.pretrained.config_json import ModelDescription

CLASSIFIER = ModelDescription(
    config=BertConfig(), architecture="BertForSequenceClassification", labels=("a", "b"), problem_type=None
)


@pytest.mark.parametrize(
    ("said", "labels", "meant"),
    [
        (None, 2, "single_label_classification"),
        (None, 1, "regression"),  # as Transformers takes it
        ("single_label_classification", 2, "single_label_classification"),
        ("multi_label_classification", 3, "multi_label_classification"),
        ("multi_label_classification", 1, "multi_label_classification"),
        ("regression", 1, "regression"),
    ],
)
def test_what_outputs_mean_is_read_and_written(tmp_path: Path, said: str | None, labels: int, meant: str):
    path = tmp_path / "config.json"
    CLASSIFIER.write(path)
    names = {str(number): f"L{number}" for number in range(labels)}
    write_json(path, read_json(path) | {"problem_type": said, "id2label": names})
    found = ModelDescription.read(path)
    assert found.problem_type == meant
    assert found.labels == (None if meant == "regression" else tuple(names.values()))
    found.write(path)
    assert read_json(path)["problem_type"] == meant


@pytest.mark.parametrize(("said", "message"), [("regression", "regression has 2 outputs"), ("other", "is unknown")])
def test_what_outputs_cannot_mean_is_said(tmp_path: Path, said: str, message: str):
    path = tmp_path / "config.json"
    CLASSIFIER.write(path)
    write_json(path, read_json(path) | {"problem_type": said})
    with pytest.raises(InputError, match=message):
        ModelDescription.read(path)
