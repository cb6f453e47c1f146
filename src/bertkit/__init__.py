"""BERT from raw text to a working model. Names load on first use, so that the command line starts at once."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bertkit.core.batch import PackedBatch
    from bertkit.core.errors import InputError
    from bertkit.inference.load import load
    from bertkit.inference.predictor import Predictor
    from bertkit.model.config import BertConfig
    from bertkit.pretrained.models import BertModel, BertWithHeads
    from bertkit.text.tokenizer import Tokenizer

_HOMES = {
    "BertConfig": "bertkit.model.config",
    "BertModel": "bertkit.pretrained.models",
    "BertWithHeads": "bertkit.pretrained.models",
    "InputError": "bertkit.core.errors",
    "PackedBatch": "bertkit.core.batch",
    "Predictor": "bertkit.inference.predictor",
    "Tokenizer": "bertkit.text.tokenizer",
    "load": "bertkit.inference.load",
}

__all__ = ["BertConfig", "BertModel", "BertWithHeads", "InputError", "PackedBatch", "Predictor", "Tokenizer", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bertkit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
