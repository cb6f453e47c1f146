"""What `config.json` says of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from bertkit.core.errors import InputError
from bertkit.core.files import read_json, write_json
from bertkit.core.records import in_file
from bertkit.model.config import BertConfig
from bertkit.pretrained.formats.name_table import SEQUENCE_CLASSIFICATION
from bertkit.pretrained.formats.table import FORMATS

CONFIG_FILE = "config.json"
_LABELLED = (SEQUENCE_CLASSIFICATION, "BertForTokenClassification")
REGRESSION, SINGLE_LABEL, MULTI_LABEL = "regression", "single_label_classification", "multi_label_classification"
"""Hugging Face's names for what the outputs of sequence classification mean."""


class _Labelled(TypedDict, total=False):
    """What `config.json` says beside the architecture."""

    architectures: list[str] | None
    id2label: dict[str, str | int | float | bool] | None
    problem_type: str | None


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """An encoder's architecture, the class that its heads make it, and the names of its outputs."""

    config: BertConfig
    architecture: str = "BertModel"
    """Hugging Face's class, in BERT's name for every architecture."""
    labels: tuple[str, ...] | None = None
    """Names of a classifier's outputs."""
    problem_type: str | None = None
    """What the outputs of sequence classification mean, None for other classes."""

    @property
    def class_name(self) -> str:
        """Hugging Face's class, in its own name."""
        return FORMATS[self.config.model_type].class_name(self.architecture)

    @property
    def num_labels(self) -> int:
        """Outputs of a head that has labels or gives a score."""
        return 1 if self.labels is None else len(self.labels)

    @classmethod
    def read(cls, path: Path) -> ModelDescription:
        """Read a `config.json`; raise `InputError` where it describes no model of ours."""
        content = read_json(path)
        if isinstance(content, dict):
            in_file(path, _Labelled, content, "correct it or copy it again", known_only=False)
        form = FORMATS.get(str(content.get("model_type"))) if isinstance(content, dict) else None
        if form is None:
            kind = content.get("model_type") if isinstance(content, dict) else type(content).__name__
            raise InputError(f"{path} describes a model of type {kind!r}: only {', '.join(FORMATS)} can be loaded")
        try:
            config = form.read_config(content)
        except InputError as error:
            raise InputError(f"{path}: {error}: correct it or copy it again") from None
        architecture = form.architecture((content.get("architectures") or [form.class_name("BertModel")])[0])
        labels = _labels(path, content) if architecture in _LABELLED else None
        if labels is None or architecture != SEQUENCE_CLASSIFICATION:
            return cls(config=config, architecture=architecture, labels=labels)
        problem_type = _problem_type(path, content.get("problem_type"), len(labels))
        labels = None if problem_type == REGRESSION else labels
        return cls(config=config, architecture=architecture, labels=labels, problem_type=problem_type)

    def write(self, path: Path) -> None:
        """Write a `config.json` that Hugging Face's class of the architecture reads."""
        form = FORMATS[self.config.model_type]
        content: dict[str, Any] = {
            "architectures": [self.class_name],
            **form.describe_config(self.config),
        }
        content["torch_dtype"] = "float32"
        labels = ("LABEL_0",) if self.problem_type == REGRESSION else self.labels
        if labels is not None:
            content["id2label"] = {str(index): label for index, label in enumerate(labels)}
            content["label2id"] = {label: index for index, label in enumerate(labels)}
        if self.architecture == SEQUENCE_CLASSIFICATION:
            content["problem_type"] = self.problem_type or SINGLE_LABEL
        write_json(path, content)


def _labels(path: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    names = content.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    try:
        return tuple(str(names[key]) for key in sorted(names, key=int))
    except (TypeError, ValueError, KeyError):
        raise InputError(f"{path}: id2label is {names!r}, not a name for each output") from None


def _problem_type(path: Path, given: object, outputs: int) -> str:
    """As the file says or, where it says nothing, as Transformers takes it: one output is a score."""
    if given not in (None, REGRESSION, SINGLE_LABEL, MULTI_LABEL):
        raise InputError(
            f"{path}: problem_type {given!r} is unknown: write {REGRESSION}, {SINGLE_LABEL} or {MULTI_LABEL}"
        )
    if given == REGRESSION and outputs > 1:
        raise InputError(f"{path}: {REGRESSION} has {outputs} outputs: bertkit knows regression of one score")
    if given == MULTI_LABEL:
        return MULTI_LABEL
    return REGRESSION if given == REGRESSION or outputs == 1 else SINGLE_LABEL
