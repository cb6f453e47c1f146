"""The configuration of the drop-in classes: any attributes, read and written like Transformers' `BertConfig`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar

from bertkit.core.errors import InputError
from bertkit.core.files import read_json, write_json
from bertkit.model.config import BertConfig as EncoderConfig
from bertkit.pretrained.config_json import CONFIG_FILE
from bertkit.pretrained.formats.bert import BERT
from bertkit.pretrained.hub import find_folder

_DEFAULTS: dict[str, Any] = {
    **{each.name: each.default for each in fields(EncoderConfig)},
    "classifier_dropout": None,
    "problem_type": None,
    "output_hidden_states": False,
    "output_attentions": False,
    "return_dict": True,
    "tie_word_embeddings": True,
    "use_cache": True,
    "is_decoder": False,
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "bos_token_id": None,
    "eos_token_id": None,
    "sep_token_id": None,
    "architectures": None,
    "dtype": None,
    "name_or_path": "",
    "task_specific_params": None,
}


class BertConfig:
    """Attributes and defaults of Transformers' class, and any others; they can be changed."""

    model_type = "bert"
    keys_to_ignore_at_inference: ClassVar[list[str]] = []
    id2label: dict[int, str]
    label2id: dict[str, int]

    def __init__(self, *, num_labels: int | None = None, **attributes: Any) -> None:
        for name, value in (deepcopy(_DEFAULTS) | attributes).items():
            if name != "model_type":
                setattr(self, name, value)
        names = attributes.get("id2label")
        if names is None or num_labels not in (None, len(names)):
            self.num_labels = 2 if num_labels is None else num_labels
        else:
            self.id2label = {int(index): name for index, name in names.items()}
            self.label2id = attributes.get("label2id") or {name: index for index, name in self.id2label.items()}

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the configuration has no {name}")

    @property
    def num_labels(self) -> int:
        """Number of classes; setting it replaces the labels by LABEL_0, LABEL_1, ..."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        self.id2label = {index: f"LABEL_{index}" for index in range(count)}
        self.label2id = {name: index for index, name in self.id2label.items()}

    @property
    def use_return_dict(self) -> bool:
        """The older name of `return_dict`."""
        return bool(self.return_dict)

    def update(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes."""
        for name, value in attributes.items():
            setattr(self, name, value)

    def get_text_config(self, *_: Any, **__: Any) -> BertConfig:
        """This configuration; in Transformers, that of a model's text encoder."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """The content of `config.json`."""
        values = {name: value for name, value in vars(self).items() if name != "name_or_path"}
        return deepcopy(values) | {"model_type": self.model_type}

    def to_diff_dict(self) -> dict[str, Any]:
        """The attributes that differ from the defaults."""
        values = self.to_dict()
        return {name: value for name, value in values.items() if name not in _DEFAULTS or value != _DEFAULTS[name]}

    def to_json_string(self, use_diff: bool = True) -> str:
        """As JSON text, by default without attributes that have their default value."""
        values = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(values | {"model_type": self.model_type}, indent=2, sort_keys=True, default=str) + "\n"

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write `config.json` into a folder, with all attributes: other readers may have other defaults."""
        write_json(Path(save_directory) / CONFIG_FILE, json.loads(self.to_json_string(use_diff=False)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **changes: Any) -> BertConfig:
        """From the content of a `config.json`, with changes to it."""
        values = dict(values)
        if "id2label" in changes:
            values.pop("label2id", None)
        if "num_labels" in changes and changes["num_labels"] != len(values.get("id2label") or {}):
            values = {name: value for name, value in values.items() if name not in ("id2label", "label2id")}
        for older, name in (("torch_dtype", "dtype"), ("_name_or_path", "name_or_path")):
            if older in values:
                values.setdefault(name, values.pop(older))
        return cls(**(values | changes))

    @classmethod
    def from_pretrained(cls, path: str | Path, **changes: Any) -> BertConfig:
        """From a folder or a hub name, with changes. Raises `InputError`."""
        file = find_folder(path) / CONFIG_FILE
        values = read_json(file)
        if not isinstance(values, dict) or values.get("model_type") != "bert":
            kind = values.get("model_type") if isinstance(values, dict) else type(values).__name__
            raise InputError(f"{file} describes a model of type {kind!r}: bertkit.hf has the classes of 'bert'")
        return cls.from_dict({**values, "name_or_path": str(path)}, **changes)

    def __repr__(self) -> str:
        return f"BertConfig {self.to_json_string()}"


def adopt_config(config: Any) -> Any:
    """A configuration for a model: Transformers' and this module's as they are, bertkit's own converted."""
    if isinstance(config, EncoderConfig):
        return BertConfig(**asdict(config))
    if not hasattr(config, "hidden_size") or not hasattr(config, "to_dict"):
        raise InputError(f"{type(config).__name__} is not a configuration: give a BertConfig")
    return config


def encoder_config(config: Any) -> EncoderConfig:
    """The encoder's sizes and constants in a configuration. Raises `InputError` for what it does not support."""
    if not getattr(config, "tie_word_embeddings", True):
        raise InputError("tie_word_embeddings is False: the masked-LM head always uses the word embeddings")
    known = {each.name for each in fields(EncoderConfig)}
    values = {name: getattr(config, name, None) for name in (*known, "is_decoder", "position_embedding_type")}
    return BERT.read_config({name: value for name, value in values.items() if value is not None})
