"""The base class of the drop-in models: folders, resizing, and what training loops ask of a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bertkit.core.errors import InputError
from bertkit.core.files import atomic_path, write_json
from bertkit.hf.config import BertConfig, adopt_config, encoder_config
from bertkit.hf.layers import BertLayer
from bertkit.hf.loading import draw_weights, load_weights, resize_rows, weights_from_file
from bertkit.pretrained.config_json import CONFIG_FILE
from bertkit.pretrained.hub import find_folder
from bertkit.pretrained.weights import SAFETENSORS_FILE


class TrainableModel(nn.Module):
    """A model's device, type and size, and gradient checkpointing."""

    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _keys_to_ignore_on_save: ClassVar[list[str] | None] = None

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next(self.parameters()).dtype

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """How many numbers the parameters have."""
        tables = {id(m.weight) for m in self.modules() if isinstance(m, nn.Embedding)} if exclude_embeddings else set()
        return sum(
            parameter.numel()
            for parameter in self.parameters()
            if id(parameter) not in tables and (parameter.requires_grad or not only_trainable)
        )

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: Mapping[str, Any] | None = None, **_: Any
    ) -> None:
        """Keep only the layers' inputs for the backward pass, which computes the rest again."""
        self._set_checkpointing({"use_reentrant": False, **(gradient_checkpointing_kwargs or {})})

    def gradient_checkpointing_disable(self) -> None:
        """Keep everything for the backward pass."""
        self._set_checkpointing(None)

    def activation_checkpointing_enable(
        self, activation_checkpointing_kwargs: Mapping[str, Any] | None = None, **_: Any
    ) -> None:
        """The newer name of `gradient_checkpointing_enable`."""
        self.gradient_checkpointing_enable(activation_checkpointing_kwargs)

    def activation_checkpointing_disable(self) -> None:
        """The newer name of `gradient_checkpointing_disable`."""
        self.gradient_checkpointing_disable()

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether layers are computed again in the backward pass."""
        return any(layer.gradient_checkpointing is not None for layer in self._layers())

    def can_generate(self) -> bool:
        """False: an encoder does not generate text."""
        return False

    def _layers(self) -> list[BertLayer]:
        return [module for module in self.modules() if isinstance(module, BertLayer)]

    def _set_checkpointing(self, options: dict[str, Any] | None) -> None:
        for layer in self._layers():
            layer.gradient_checkpointing = options


_PACKAGE = f"{__name__.rpartition('.')[0]}."
_IGNORED_ARGUMENTS = (
    *("attn_implementation", "cache_dir", "force_download", "local_files_only", "low_cpu_mem_usage", "revision"),
    *("token", "trust_remote_code", "use_safetensors", "weights_only"),
)
"""Arguments of Transformers' `from_pretrained` that do not change the model."""


class BertPreTrainedModel(TrainableModel):
    """A model with a configuration and an encoder `bert` (or that is an encoder), to load and save."""

    config_class = BertConfig
    base_model_prefix = "bert"

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = adopt_config(config)
        self.architecture = encoder_config(self.config)
        self.name_or_path = getattr(self.config, "name_or_path", "")

    def post_init(self) -> None:
        """Draw the weights; every subclass calls this at the end of its constructor."""
        draw_weights(self, self.config.initializer_range)
        self.tie_weights()

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *model_arguments: Any,
        config: Any = None,
        output_loading_info: bool = False,
        ignore_mismatched_sizes: bool = False,
        dtype: str | torch.dtype | None = None,
        torch_dtype: str | torch.dtype | None = None,
        **changes: Any,
    ) -> Any:
        """Load a folder or a hub name, in evaluation mode and by default in float32.

        Other arguments change the configuration if it has an attribute of that name, or go to the constructor. Raises
        `InputError`.
        """
        folder = find_folder(path)
        changes = {name: value for name, value in changes.items() if name not in _IGNORED_ARGUMENTS}
        if "device_map" in changes:
            raise InputError("device_map is not supported: load the model and move it with .to(device)")
        config = BertConfig.from_pretrained(folder) if config is None else adopt_config(config)
        of_config = {name: value for name, value in changes.items() if hasattr(config, name)}
        config = type(config).from_dict(config.to_dict(), **of_config)
        config.name_or_path = str(path)
        # Drawing weights that are then overwritten takes longer than reading the file. A user's own class may make
        # tensors that are in no file, so it is built with memory.
        without_memory = cls.__module__.startswith(_PACKAGE)
        with weights_from_file(), torch.device("meta") if without_memory else nullcontext():
            rest = {name: value for name, value in changes.items() if name not in of_config}
            model = cls(config, *model_arguments, **rest)
        if without_memory:
            model.to_empty(device=torch.get_default_device())
        loaded = load_weights(
            model,
            folder,
            prefix="" if hasattr(model, cls.base_model_prefix) else f"{cls.base_model_prefix}.",
            tied=model.tied_names(),
            standard_deviation=config.initializer_range,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
        )
        model.tie_weights()
        loaded.report.show()
        wanted = torch_dtype if dtype is None else dtype
        if wanted == "auto":
            wanted = config.dtype or "float32"
        if wanted is not None:
            model.to(getattr(torch, wanted) if isinstance(wanted, str) else wanted)
        model.eval()
        return (model, loaded.loading_info()) if output_loading_info else model

    def save_pretrained(
        self,
        save_directory: str | Path,
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        **_: Any,
    ) -> None:
        """Write `config.json` and `model.safetensors`, which Transformers can load too."""
        if not is_main_process:
            return
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        tied = self.tied_names()
        tensors = self.state_dict() if state_dict is None else state_dict
        tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items() if name not in tied}
        with atomic_path(folder / SAFETENSORS_FILE) as file:
            save_file(tensors, file, metadata={"format": "pt"})
        self.config.architectures = [type(self).__name__]
        description = json.loads(self.config.to_json_string(use_diff=False))
        write_json(folder / CONFIG_FILE, description | {"dtype": str(self.dtype).removeprefix("torch.")})

    @property
    def base_model(self) -> Any:
        """The encoder."""
        return getattr(self, self.base_model_prefix, self)

    @property
    def predictions(self) -> Any:
        """The masked-LM head, if there is one."""
        return getattr(getattr(self, "cls", None), "predictions", None)

    def get_input_embeddings(self) -> nn.Embedding:
        """The word embeddings."""
        return self.base_model.embeddings.word_embeddings  # type: ignore[no-any-return]

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the word embeddings."""
        self.base_model.embeddings.word_embeddings = value
        self.tie_weights()

    def get_output_embeddings(self) -> nn.Linear | None:
        """The masked-LM head's decoder."""
        return None if self.predictions is None else self.predictions.decoder

    def tie_weights(self, *_: Any, **__: Any) -> None:
        """Use the word embeddings as the weight of the masked-LM head's decoder."""
        if self.predictions is not None:
            self.predictions.tie(self.get_input_embeddings().weight)

    def tied_names(self) -> frozenset[str]:
        """Names in the state dictionary whose tensors also have another name."""
        names = ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias")
        return frozenset(names if self.predictions is not None else ())

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Embedding:
        """Change the size of the vocabulary; new rows are the mean of the old ones, or drawn like initial weights."""
        old = self.get_input_embeddings()
        if new_num_tokens is None and pad_to_multiple_of is None:
            return old
        number = old.num_embeddings if new_num_tokens is None else new_num_tokens
        number += -number % (pad_to_multiple_of or 1)
        weight = resize_rows(old.weight, number, "mean" if mean_resizing else float(self.config.initializer_range))
        new = nn.Embedding(number, old.embedding_dim, padding_idx=old.padding_idx, _weight=weight)
        new.weight.requires_grad_(old.weight.requires_grad)
        if self.predictions is not None:
            self.predictions.bias = nn.Parameter(resize_rows(self.predictions.bias, number, 0.0))
        self.set_input_embeddings(new)
        self.config.vocab_size = number
        return new

    def enable_input_require_grads(self) -> None:
        """Make the embeddings' output require a gradient even if the embeddings do not."""
        self.get_input_embeddings().register_forward_hook(lambda _, __, output: output.requires_grad_(True))
