"""A model's parts by the name of a preset, a configuration or a folder, without memory for weights."""

from __future__ import annotations

from pathlib import Path

from bertkit.foundation.errors import InputError
from bertkit.model.bert_with_heads import BertWithHeads
from bertkit.model.description import ModelDescription
from bertkit.model.folder import ModelFolder
from bertkit.model.hub import find_folder
from bertkit.model.presets import MODERN_PRESETS, PRESETS

_MODERN = "modern-"


def describe_model(name: str) -> BertWithHeads:
    """Find a preset (with the heads of pre-training), a `config.json`, a folder or a hub name. Raises `InputError`."""
    path = Path(name)
    if path.is_file():
        return BertWithHeads.outline(ModelDescription.read(path))
    if path.is_dir():
        return BertWithHeads.outline_of_folder(ModelFolder.open(path))
    if name in PRESETS:
        return BertWithHeads.outline(ModelDescription(config=PRESETS[name], architecture="BertForPreTraining"))
    modern = MODERN_PRESETS.get(name.removeprefix(_MODERN)) if name.startswith(_MODERN) else None
    if modern is not None:
        return BertWithHeads.outline(ModelDescription(config=modern, architecture="BertForMaskedLM"))
    if "/" not in name:
        raise InputError(
            f"{name} is no preset ({', '.join(PRESETS)}, with {_MODERN} before it or not), no model folder and no "
            "config.json"
        )
    return BertWithHeads.outline_of_folder(ModelFolder.open(find_folder(name)))
