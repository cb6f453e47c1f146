"""The model folder that Hugging Face's libraries read: `config.json` and `model.safetensors`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bertkit.foundation.errors import InputError
from bertkit.foundation.files import atomic_path, read_json, write_json
from bertkit.model.config import BertConfig
from bertkit.model.names import from_huggingface, to_huggingface

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


def write_model_folder(
    folder: Path,
    module: nn.Module,
    config: BertConfig,
    *,
    architecture: str,
    labels: Sequence[str] | None = None,
    regression: bool = False,
) -> None:
    """Write `module`, whose encoder is its attribute `bert`, for the Hugging Face class `architecture`."""
    description: dict[str, Any] = {"architectures": [architecture], "model_type": "bert", **asdict(config)}
    description |= {"position_embedding_type": "absolute", "torch_dtype": "float32"}
    if labels is not None:
        description["id2label"] = {str(index): label for index, label in enumerate(labels)}
        description["label2id"] = {label: index for index, label in enumerate(labels)}
        description["problem_type"] = "single_label_classification"
    if regression:
        description["id2label"], description["label2id"] = {"0": "LABEL_0"}, {"LABEL_0": 0}
        description["problem_type"] = "regression"
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().float().cpu() for name, tensor in module.state_dict().items()}
    with atomic_path(folder / WEIGHTS_FILE) as path:
        save_file(to_huggingface(tensors), path, metadata={"format": "pt"})
    write_json(folder / CONFIG_FILE, description)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name the file in errors of a broken safetensors file."""
    try:
        yield
    except SafetensorError as error:
        raise InputError(f"{path} is not a whole safetensors file ({error}): copy it again") from None


@dataclass(frozen=True)
class ModelFolder:
    """A folder opened for loading; the weights are read by `load_into`."""

    path: Path
    config: BertConfig
    architecture: str
    labels: tuple[str, ...] | None
    regression: bool

    @classmethod
    def open(cls, path: str | Path) -> ModelFolder:
        """Read `config.json`; raise `InputError` where the folder holds no BERT."""
        path = Path(path)
        if not path.is_dir():
            raise InputError(f"{path} is not a model folder: give a folder with {CONFIG_FILE} and {WEIGHTS_FILE}")
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            if not (path / name).is_file():
                raise InputError(f"{path} has no {name}: give the folder that a model was saved to")
        description = read_json(path / CONFIG_FILE)
        if not isinstance(description, dict) or description.get("model_type") != "bert":
            kind = description.get("model_type") if isinstance(description, dict) else type(description).__name__
            raise InputError(f"{path / CONFIG_FILE} describes a model of type {kind!r}: only 'bert' can be loaded")
        known = {field.name for field in fields(BertConfig)}
        config = BertConfig(**{name: value for name, value in description.items() if name in known})
        architecture = (description.get("architectures") or ["BertModel"])[0]
        labels = None
        if architecture == "BertForSequenceClassification":
            names = description.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
            labels = tuple(names[key] for key in sorted(names, key=int))
        regression = description.get("problem_type") == "regression" or (labels is not None and len(labels) == 1)
        return cls(path, config, architecture, None if regression else labels, regression)

    def tensor_names(self) -> frozenset[str]:
        """Hugging Face's names of the tensors in the folder."""
        with _reading(self.path / WEIGHTS_FILE), safe_open(self.path / WEIGHTS_FILE, framework="pt") as file:
            return frozenset(file.keys())

    def load_into(self, module: nn.Module, *, may_lack: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Copy the folder's weights into `module` and return the names of tensors that the folder lacks.

        Only tensors whose names start with one of `may_lack` may be lacking; they keep their values.
        """
        with _reading(self.path / WEIGHTS_FILE):
            stored: dict[str, Tensor] = load_file(self.path / WEIGHTS_FILE)
        wanted = module.state_dict()
        found = from_huggingface(stored, wanted)
        lacking = tuple(name for name in wanted if name not in found)
        for name in lacking:
            if not name.startswith(may_lack or ("\0",)):
                raise InputError(f"{self.path / WEIGHTS_FILE} lacks the tensor {name}: it is not a whole BERT")
        for name, tensor in found.items():
            if tensor.shape != wanted[name].shape:
                raise InputError(
                    f"{self.path / WEIGHTS_FILE}: {name} has shape {tuple(tensor.shape)} but {CONFIG_FILE} "
                    f"asks for {tuple(wanted[name].shape)}: the two files do not belong together"
                )
        module.load_state_dict(found, strict=False)
        return lacking
