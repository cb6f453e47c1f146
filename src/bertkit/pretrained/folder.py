"""A model folder: opened once, its weights copied into a module, a report of what was taken; and written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit.core.checksums import TOKENIZER_FILES, Verify, check_sums, write_sums
from bertkit.core.console import note
from bertkit.core.errors import InputError
from bertkit.core.files import atomic_path, read_json, write_json
from bertkit.core.lazy import lazy_module
from bertkit.model.config import BertConfig
from bertkit.pretrained.arrays import FolderArrays
from bertkit.pretrained.card import ModelCard, how_to_load, how_to_load_int8
from bertkit.pretrained.config_json import CONFIG_FILE, REGRESSION, SINGLE_LABEL, ModelDescription
from bertkit.pretrained.formats.name_table import (
    SEQUENCE_CLASSIFICATION,
    WITH_POOLER_OF_THEIR_OWN,
    NameTable,
    Translation,
)
from bertkit.pretrained.formats.table import FORMATS
from bertkit.pretrained.hub import find_folder
from bertkit.pretrained.int8 import (
    FULL_RANGE,
    INT8_FILE,
    INT8_KEY,
    Int8Settings,
    Int8Tensors,
    Int8Weight,
    encoder_linears,
    join_weights,
)
from bertkit.pretrained.sentence_settings import SentenceSettings
from bertkit.pretrained.tensorflow import checkpoint as tensorflow
from bertkit.pretrained.weights import SAFETENSORS_FILE, find_weights, is_tensorflow, read_tensors, weight_parts

if TYPE_CHECKING:
    import torch
    from safetensors import torch as safetensors_torch
    from torch import Tensor, nn
else:
    torch = lazy_module("torch")
    safetensors_torch = lazy_module("safetensors.torch")

TASK_FILE = "task.json"
"""What a fine-tuned folder says of its task."""

MODEL_FILES = (
    *("config.json", "*.safetensors", "*.safetensors.index.json", "pytorch_model*", "bert_model.ckpt*", "checkpoint"),
    *("bert_config.json", "generation_config.json", "*.onnx", "*.onnx.data", "openvino_model.*", "*README.md"),
    *("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt", "added_tokens.json"),
    *("special_tokens_map.json", "modules.json", "*sentence*.json", "[0-9]_*", "SHA256SUMS", TASK_FILE),
    *("quantization.json", "quantization.html"),
)
"""Patterns of the names in a model's folder, of any format: another name in it is a user's own."""


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """Tensors that were taken from the file, left in it, and newly made since the file lacks them."""

    path: Path
    taken: tuple[str, ...]
    """Our names."""
    left: tuple[str, ...] = ()
    """The file's names."""
    made: tuple[str, ...] = ()
    """Our names."""

    @property
    def complete(self) -> bool:
        """Whether file and model hold the same."""
        return not self.left and not self.made

    def show(self) -> None:
        """Print one line where something was left or newly made."""
        if not self.complete:
            note(str(self))

    def __str__(self) -> str:
        parts = [f"{len(self.taken)} tensors taken"]
        if self.left:
            parts.append(f"left {_grouped(self.left)}")
        if self.made:
            parts.append(f"newly made {_grouped(self.made)}")
        return f"{self.path}: {', '.join(parts)}"


def _grouped(names: tuple[str, ...]) -> str:
    """Tensors by the module that they belong to, with their number."""
    counts = Counter(_part(name) for name in names)
    shown = [f"{part} ({count})" for part, count in counts.most_common(6)]
    return ", ".join(shown) + (f" and {len(counts) - 6} parts more" if len(counts) > 6 else "")


def _part(name: str) -> str:
    """The module, down to its third level."""
    module = re.split(r"[./]", name)[:-1]
    return ".".join(module[:3]) or name


def check_values(file: Path, name: str, tensor: Tensor) -> None:
    """Raise `InputError` for what is no floating-point tensor, or not finite."""
    if not tensor.is_floating_point():
        raise InputError(f"{file}: {name} is {tensor.dtype}, not floating-point: give plain weights")
    # A sum is finite if all are, and costs a tenth; one of finite numbers may still overflow.
    if not torch.isfinite(tensor.sum(dtype=torch.float32)) and not torch.isfinite(tensor).all():
        bad = int((~torch.isfinite(tensor)).sum())
        raise InputError(
            f"{file}: {bad:,} of {tensor.numel():,} weights of {name} are NaN or infinite: "
            "the training diverged or the file is broken, take an earlier checkpoint"
        )


def write_model_folder(
    folder: Path,
    module: nn.Module,
    config: BertConfig,
    *,
    architecture: str,
    labels: Sequence[str] | None = None,
    problem_type: str | None = None,
    card: ModelCard | None = None,
    sentences: SentenceSettings | None = None,
    int8: Mapping[str, Int8Weight] | None = None,
) -> None:
    """Write `module`, whose encoder is its attribute `bert`, for the Hugging Face class `architecture`.

    The class has BERT's name; a DistilBERT or RoBERTa is written for its own class of that kind. With `sentences` the
    folder says how sentence-transformers makes vectors of it. With `int8`, linear layers of the encoder by our name,
    it is an int8 folder, which only bertkit loads.
    """
    description = ModelDescription(
        config=config,
        architecture=architecture,
        labels=None if labels is None else tuple(labels),
        problem_type=problem_type,
    )
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().float().cpu() for name, tensor in module.state_dict().items()}
    names = FORMATS[config.model_type].names_for(architecture)
    description.write(folder / CONFIG_FILE)
    if int8 is None:
        with atomic_path(folder / SAFETENSORS_FILE) as path:
            safetensors_torch.save_file(names.write(tensors), path, metadata={"format": "pt"})
    else:
        settings = _write_int8(folder, names, tensors, int8, encoder_linears(config.num_hidden_layers))
        write_json(folder / CONFIG_FILE, read_json(folder / CONFIG_FILE) | {INT8_KEY: settings.describe()})
    if sentences is not None:
        sentences.write(folder, config.hidden_size)
    parameters = sum(tensor.numel() for tensor in tensors.values())
    loading = how_to_load(description) if int8 is None else how_to_load_int8(description)
    (card or ModelCard()).write(folder, description, parameters, loading, for_sentences=sentences is not None)
    write_sums(folder)


def _modules(names: NameTable, linear: str) -> tuple[str, ...]:
    """Hugging Face's modules, one or three, that our linear layer is."""
    return tuple(foreign.removesuffix(".weight") for foreign in names.foreign(f"{linear}.weight"))


def _write_int8(
    folder: Path,
    names: NameTable,
    tensors: Mapping[str, Tensor],
    int8: Mapping[str, Int8Weight],
    linears: Sequence[str],
) -> Int8Settings:
    weights: dict[str, Int8Weight] = {}
    for name, weight in int8.items():
        modules = _modules(names, name)
        weights.update(zip(modules, weight.split(len(modules)), strict=True))
    floats = {name: tensor for name, tensor in tensors.items() if name.removesuffix(".weight") not in int8}
    others = {name: tensor.numpy() for name, tensor in names.write(floats).items()}
    Int8Tensors(weights, others).write(folder / INT8_FILE)
    return Int8Settings(
        int8_layers=tuple(weights),
        float32_layers=tuple(module for name in linears if name not in int8 for module in _modules(names, name)),
        weight_range=max((weight.weight_range for weight in int8.values()), default=FULL_RANGE),
    )


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A folder opened for loading, once, and handed on; the weights are read by `load_into`."""

    path: Path
    weights: Path
    """The file of weights, or the index of its parts."""
    description: ModelDescription

    @classmethod
    def open(cls, name: str | Path, verify: Verify = "auto") -> ModelFolder:
        """Find the folder, or the hub's model of that name, and read its `config.json` or `bert_config.json`.

        Where the folder has checksums, weights and tokenizer are compared with them; `verify` says how often. Raises
        `InputError` for what is neither, and where the folder holds no BERT, or damaged files.
        """
        path = find_folder(name)
        if not any((path / name).is_file() for name in (CONFIG_FILE, tensorflow.CONFIG_FILE)):
            raise InputError(f"{path} has no {CONFIG_FILE}: give the folder that a model was saved to")
        weights = find_weights(path)
        if is_tensorflow(weights):
            description = _describe_checkpoint(path, weights)
        elif (path / CONFIG_FILE).is_file():
            description = ModelDescription.read(path / CONFIG_FILE)
        else:
            description = ModelDescription(config=tensorflow.read_config(path / tensorflow.CONFIG_FILE))
        check_sums(path, (*(part.name for part in {weights, *weight_parts(weights)}), *TOKENIZER_FILES), verify)
        return cls(path=path, weights=weights, description=description)

    @property
    def weight_files(self) -> tuple[Path, ...]:
        """The files that hold the tensors; raises `InputError` for one that is missing."""
        return weight_parts(self.weights)

    @cached_property
    def task(self) -> dict[str, Any] | None:
        """What `task.json` says of the task that the model was fine-tuned on, None where there is none."""
        path = self.path / TASK_FILE
        return read_json(path) if path.is_file() else None

    @cached_property
    def sentences(self) -> SentenceSettings | None:
        """What `modules.json` says of how texts become vectors, None where there is none."""
        return SentenceSettings.find(self.path)

    @cached_property
    def int8(self) -> Int8Settings | None:
        """Which layers are int8, None where the weights are floating-point."""
        if self.weights.name != INT8_FILE:
            return None
        path = self.path / CONFIG_FILE
        return Int8Settings.read(read_json(path), path)

    @cached_property
    def linear_modules(self) -> dict[str, tuple[str, ...]]:
        """The encoder's linear layers, which can be int8, by our name: Hugging Face's one or three modules of each."""
        names = FORMATS[self.config.model_type].names_for(self.architecture)
        return {name: _modules(names, name) for name in encoder_linears(self.config.num_hidden_layers)}

    def int8_weights(self) -> dict[str, Int8Weight]:
        """The weights of the int8 layers by our name, empty where the folder has none. Raises `InputError`."""
        if self.int8 is None:
            return {}
        stored = Int8Tensors.read(self.weights).weights
        if set(stored) != set(self.int8.int8_layers):
            odd = sorted(set(stored) ^ set(self.int8.int8_layers))[0]
            raise InputError(
                f"{self.weights}: {odd} is int8 here or in {CONFIG_FILE}, not in both: copy the whole folder again"
            )
        found = {}
        for name, modules in self.linear_modules.items():
            parts = [stored[module] for module in modules if module in stored]
            if len(parts) not in (0, len(modules)):
                raise InputError(f"{self.weights}: only a part of {', '.join(modules)} is int8: quantize again")
            if parts:
                found[name] = join_weights(parts)
        return found

    @property
    def config(self) -> BertConfig:
        """The encoder's architecture."""
        return self.description.config

    @property
    def architecture(self) -> str:
        """Hugging Face's class, in BERT's name for every architecture."""
        return self.description.architecture

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of a classifier's outputs."""
        return self.description.labels

    @property
    def problem_type(self) -> str | None:
        """What the outputs of sequence classification mean, None for other classes."""
        return self.description.problem_type

    def holds(self, name: str) -> bool:
        """Whether the folder has our tensor `name`."""
        return name in self.arrays

    @cached_property
    def arrays(self) -> FolderArrays:
        """The weights in NumPy."""
        return FolderArrays(self.weights, self._names, self.description.class_name, self.config)

    @property
    def has_pooler(self) -> bool:
        """Whether the folder has a pooler's weights; a masked LM's may have the same names."""
        owned = self.config.has_pooler or self.architecture in WITH_POOLER_OF_THEIR_OWN
        return owned and self.holds("bert.pooler.dense.weight")

    def load_into(self, module: nn.Module, *, may_lack: tuple[str, ...] = ()) -> LoadReport:
        """Copy the folder's weights into `module` and say what was taken, left and newly made.

        Only tensors whose names start with one of `may_lack` may be lacking; they keep their values.
        """
        translation = self.weights_for(module, may_lack=may_lack)
        module.load_state_dict(translation.found, strict=False)
        made = tuple(name for name in module.state_dict() if name not in translation.found)
        return LoadReport(path=self.weights, taken=tuple(translation.found), left=translation.left, made=made)

    def weights_for(self, module: nn.Module, *, may_lack: tuple[str, ...] = ()) -> Translation:
        """The weights for `module`, as `load_into` copies them; raise `InputError` where it cannot."""
        names, wanted = self._names, module.state_dict()
        translation = names.read(read_tensors(self.weights), wanted)
        for name in (name for name in wanted if name not in translation.found):
            if not name.startswith(may_lack or ("\0",)):
                raise InputError(
                    f"{self.weights} lacks the tensor {names.foreign(name)[0]}: "
                    f"it is not a whole {self.description.class_name}"
                )
        if translation.untied and any(name.startswith("masked_lm.") for name in translation.found):
            raise InputError(
                f"{self.weights}: {translation.untied[0]} is not tied to the word embeddings: load the encoder alone"
            )
        self._check(translation.found, wanted)
        return translation

    @property
    def _names(self) -> NameTable:
        if is_tensorflow(self.weights):
            return tensorflow.NAMES
        return FORMATS[self.config.model_type].names_for(self.architecture)

    def _check(self, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
        for name, tensor in found.items():
            if tensor.shape != wanted[name].shape:
                raise InputError(
                    f"{self.weights}: {name} has shape {tuple(tensor.shape)} but {CONFIG_FILE} "
                    f"asks for {tuple(wanted[name].shape)}: the two files do not belong together"
                )
            check_values(self.weights, name, tensor)


def _describe_checkpoint(folder: Path, weights: Path) -> ModelDescription:
    """What a TensorFlow checkpoint is: its heads show in its tensors, and only a `config.json` beside it has labels."""
    architecture, outputs = tensorflow.find_architecture(read_tensors(weights))
    if not (folder / CONFIG_FILE).is_file():
        known = ModelDescription(config=tensorflow.read_config(folder / tensorflow.CONFIG_FILE))
    else:
        known = ModelDescription.read(folder / CONFIG_FILE)
    if architecture != SEQUENCE_CLASSIFICATION:
        return ModelDescription(config=known.config, architecture=architecture)
    if known.architecture == architecture and known.num_labels == outputs:
        return known
    labels = tuple(f"LABEL_{number}" for number in range(outputs)) if outputs > 1 else None
    problem_type = REGRESSION if labels is None else SINGLE_LABEL
    return replace(known, architecture=architecture, labels=labels, problem_type=problem_type)
