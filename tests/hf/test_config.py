import json
from pathlib import Path

import pytest
import transformers

from bertkit.core.errors import InputError
from bertkit.hf import BertConfig


def test_the_defaults_are_those_of_transformers():
    ours, theirs = BertConfig(), transformers.BertConfig()
    for name, value in ours.to_dict().items():
        if name not in ("bos_token_id", "sep_token_id"):  # which Transformers may keep elsewhere
            assert getattr(theirs, name, None) == value, name
    assert ours.num_labels == theirs.num_labels == 2
    assert ours.use_return_dict and ours.model_type == "bert"


def test_a_file_goes_to_transformers_and_back_with_its_other_attributes(tmp_path: Path):
    config = BertConfig(hidden_size=24, num_attention_heads=3, id2label={0: "no", 1: "yes", 2: "perhaps"}, team="north")
    config.save_pretrained(tmp_path)
    theirs = transformers.BertConfig.from_pretrained(tmp_path)
    assert theirs.hidden_size == 24 and theirs.id2label == config.id2label and theirs.team == "north"
    theirs.problem_type = "multi_label_classification"
    theirs.save_pretrained(tmp_path / "theirs")
    again = BertConfig.from_pretrained(tmp_path / "theirs", hidden_dropout_prob=0.3)
    assert again.id2label == config.id2label and again.label2id == {"no": 0, "yes": 1, "perhaps": 2}
    assert again.team == "north" and again.problem_type == "multi_label_classification"
    assert again.hidden_dropout_prob == 0.3


def test_labels_follow_their_number():
    config = BertConfig(num_labels=3)
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    config.num_labels = 1
    assert config.label2id == {"LABEL_0": 0}
    assert BertConfig.from_dict({"id2label": {"0": "a", "1": "b"}}, num_labels=2).label2id == {"a": 0, "b": 1}
    assert BertConfig.from_dict({"id2label": {"0": "a", "1": "b"}}, num_labels=4).num_labels == 4


def test_json_holds_what_is_not_the_default():
    values = json.loads(BertConfig(hidden_size=24).to_json_string())
    assert values["hidden_size"] == 24 and "vocab_size" not in values
    assert json.loads(BertConfig().to_json_string(use_diff=False))["vocab_size"] == 30522
    assert "hidden_size" in repr(BertConfig(hidden_size=24))


def test_changes_are_attributes():
    config = BertConfig()
    config.update({"problem_type": "regression"})
    config.mood = "good"
    assert config.to_dict()["problem_type"] == "regression" and config.to_diff_dict()["mood"] == "good"
    with pytest.raises(AttributeError, match="has no mode"):
        config.mode  # noqa: B018


def test_a_file_of_another_model_is_named(tmp_path: Path):
    transformers.RobertaConfig().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="'roberta'"):
        BertConfig.from_pretrained(tmp_path)
