"""The model folder that Hugging Face's libraries read: `config.json` and `model.safetensors`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bertkit.foundation.errors import InputError
from bertkit.foundation.files import atomic_path, read_json, write_json
from bertkit.model.config import MODEL_TYPES, BertConfig
from bertkit.model.formats.model_format import SEQUENCE_CLASSIFICATION
from bertkit.model.formats.name_table import NameTable
from bertkit.model.formats.table import FORMATS
from bertkit.model.load_report import LoadReport
from bertkit.model.stored_weights import SAFETENSORS_FILE, find_weights, read_tensors

CONFIG_FILE = "config.json"
_LABELLED = (SEQUENCE_CLASSIFICATION, "BertForTokenClassification")


def write_model_folder(
    folder: Path,
    module: nn.Module,
    config: BertConfig,
    *,
    architecture: str,
    labels: Sequence[str] | None = None,
    regression: bool = False,
) -> None:
    """Write `module`, whose encoder is its attribute `bert`, for the Hugging Face class `architecture`.

    The class has BERT's name; a DistilBERT or RoBERTa is written for its own class of that kind.
    """
    form = FORMATS[config.model_type]
    description: dict[str, Any] = {"architectures": [form.class_name(architecture)], **form.describe_config(config)}
    if config.model_type != "distilbert":
        description["position_embedding_type"] = "absolute"
    description["torch_dtype"] = "float32"
    if labels is not None:
        description["id2label"] = {str(index): label for index, label in enumerate(labels)}
        description["label2id"] = {label: index for index, label in enumerate(labels)}
        if architecture == SEQUENCE_CLASSIFICATION:
            description["problem_type"] = "single_label_classification"
    if regression:
        description["id2label"], description["label2id"] = {"0": "LABEL_0"}, {"LABEL_0": 0}
        description["problem_type"] = "regression"
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().float().cpu() for name, tensor in module.state_dict().items()}
    with atomic_path(folder / SAFETENSORS_FILE) as path:
        save_file(form.names_for(architecture).write(tensors), path, metadata={"format": "pt"})
    write_json(folder / CONFIG_FILE, description)


@dataclass(frozen=True)
class ModelFolder:
    """A folder opened for loading; the weights are read by `load_into`."""

    path: Path
    weights: Path
    """The file of weights, or the index of its parts."""
    config: BertConfig
    architecture: str
    """Hugging Face's class, in BERT's name for DistilBERT and RoBERTa too."""
    labels: tuple[str, ...] | None
    regression: bool

    @classmethod
    def open(cls, path: str | Path) -> ModelFolder:
        """Read `config.json`; raise `InputError` where the folder holds no BERT."""
        path = Path(path)
        if not path.is_dir():
            raise InputError(f"{path} is not a model folder: give a folder with {CONFIG_FILE} and {SAFETENSORS_FILE}")
        if not (path / CONFIG_FILE).is_file():
            raise InputError(f"{path} has no {CONFIG_FILE}: give the folder that a model was saved to")
        weights = find_weights(path)
        description = read_json(path / CONFIG_FILE)
        form = FORMATS.get(str(description.get("model_type"))) if isinstance(description, dict) else None
        if form is None:
            kind = description.get("model_type") if isinstance(description, dict) else type(description).__name__
            raise InputError(
                f"{path / CONFIG_FILE} describes a model of type {kind!r}: only {', '.join(MODEL_TYPES)} can be loaded"
            )
        try:
            config = form.read_config(description)
        except (InputError, TypeError) as error:
            raise InputError(f"{path / CONFIG_FILE}: {error}") from None
        architecture = form.architecture((description.get("architectures") or [form.class_name("BertModel")])[0])
        labels = None
        if architecture in _LABELLED:
            names = description.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
            labels = tuple(names[key] for key in sorted(names, key=int))
        regression = architecture == SEQUENCE_CLASSIFICATION and (
            description.get("problem_type") == "regression" or (labels is not None and len(labels) == 1)
        )
        return cls(path, weights, config, architecture, None if regression else labels, regression)

    def holds(self, name: str) -> bool:
        """Whether the folder has our tensor `name`."""
        return name in self._names.read(read_tensors(self.weights), [name]).found

    def load_into(self, module: nn.Module, *, may_lack: tuple[str, ...] = ()) -> LoadReport:
        """Copy the folder's weights into `module` and say what was taken, left and newly made.

        Only tensors whose names start with one of `may_lack` may be lacking; they keep their values.
        """
        names, wanted = self._names, module.state_dict()
        translation = names.read(read_tensors(self.weights), wanted)
        made = tuple(name for name in wanted if name not in translation.found)
        for name in made:
            if not name.startswith(may_lack or ("\0",)):
                raise InputError(
                    f"{self.weights} lacks the tensor {names.foreign(name)[0]}: it is not a whole {self.architecture}"
                )
        if translation.untied and any(name.startswith("masked_lm.") for name in translation.found):
            raise InputError(
                f"{self.weights}: {translation.untied[0]} is not tied to the word embeddings: load the encoder alone"
            )
        self._check(translation.found, wanted)
        module.load_state_dict(translation.found, strict=False)
        return LoadReport(path=self.weights, taken=tuple(translation.found), left=translation.left, made=made)

    @property
    def _names(self) -> NameTable:
        return FORMATS[self.config.model_type].names_for(self.architecture)

    def _check(self, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
        for name, tensor in found.items():
            if tensor.shape != wanted[name].shape:
                raise InputError(
                    f"{self.weights}: {name} has shape {tuple(tensor.shape)} but {CONFIG_FILE} "
                    f"asks for {tuple(wanted[name].shape)}: the two files do not belong together"
                )
            if not tensor.is_floating_point():
                raise InputError(f"{self.weights}: {name} is {tensor.dtype}, not floating-point: give plain weights")
            # A sum is finite if all are, and costs a tenth; one of finite numbers may still overflow.
            if not torch.isfinite(tensor.sum(dtype=torch.float32)) and not torch.isfinite(tensor).all():
                bad = int((~torch.isfinite(tensor)).sum())
                raise InputError(
                    f"{self.weights}: {bad:,} of {tensor.numel():,} weights of {name} are NaN or infinite: "
                    "the training diverged or the file is broken, take an earlier checkpoint"
                )
