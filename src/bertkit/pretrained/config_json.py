"""What `config.json` says of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertkit.core.errors import InputError
from bertkit.core.files import read_json, write_json
from bertkit.model.config import MODEL_TYPES, BertConfig
from bertkit.pretrained.formats.name_table import SEQUENCE_CLASSIFICATION
from bertkit.pretrained.formats.table import FORMATS

CONFIG_FILE = "config.json"
_LABELLED = (SEQUENCE_CLASSIFICATION, "BertForTokenClassification")


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """An encoder's architecture, the class that its heads make it, and the names of its outputs."""

    config: BertConfig
    architecture: str = "BertModel"
    """Hugging Face's class, in BERT's name for DistilBERT and RoBERTa too."""
    labels: tuple[str, ...] | None = None
    regression: bool = False

    @property
    def num_labels(self) -> int:
        """Outputs of a head that has labels or gives a score."""
        return 1 if self.labels is None else len(self.labels)

    @classmethod
    def read(cls, path: Path) -> ModelDescription:
        """Read a `config.json`; raise `InputError` where it describes no model of ours."""
        content = read_json(path)
        form = FORMATS.get(str(content.get("model_type"))) if isinstance(content, dict) else None
        if form is None:
            kind = content.get("model_type") if isinstance(content, dict) else type(content).__name__
            raise InputError(f"{path} describes a model of type {kind!r}: only {', '.join(MODEL_TYPES)} can be loaded")
        try:
            config = form.read_config(content)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        architecture = form.architecture((content.get("architectures") or [form.class_name("BertModel")])[0])
        labels = _labels(path, content) if architecture in _LABELLED else None
        regression = architecture == SEQUENCE_CLASSIFICATION and (
            content.get("problem_type") == "regression" or (labels is not None and len(labels) == 1)
        )
        return cls(
            config=config, architecture=architecture, labels=None if regression else labels, regression=regression
        )

    def write(self, path: Path) -> None:
        """Write a `config.json` that Hugging Face's class of the architecture reads."""
        form = FORMATS[self.config.model_type]
        content: dict[str, Any] = {
            "architectures": [form.class_name(self.architecture)],
            **form.describe_config(self.config),
        }
        if self.config.model_type in ("bert", "roberta"):
            content["position_embedding_type"] = "absolute"
        content["torch_dtype"] = "float32"
        labels = ("LABEL_0",) if self.regression else self.labels
        if labels is not None:
            content["id2label"] = {str(index): label for index, label in enumerate(labels)}
            content["label2id"] = {label: index for index, label in enumerate(labels)}
        if self.architecture == SEQUENCE_CLASSIFICATION:
            content["problem_type"] = "regression" if self.regression else "single_label_classification"
        write_json(path, content)


def _labels(path: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    names = content.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    try:
        return tuple(str(names[key]) for key in sorted(names, key=int))
    except (TypeError, ValueError, KeyError):
        raise InputError(f"{path}: id2label is {names!r}, not a name for each output") from None
