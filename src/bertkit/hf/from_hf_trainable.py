"""What training loops ask of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from bertkit.hf.layers import BertLayer


class TrainableModel(nn.Module):
    """Where a model is, how large, and whether its layers are computed again in the backward pass."""

    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _keys_to_ignore_on_save: ClassVar[list[str] | None] = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The weights' type."""
        return next(self.parameters()).dtype

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Numbers in the parameters, without those of embedding tables where asked."""
        tables = {id(m.weight) for m in self.modules() if isinstance(m, nn.Embedding)} if exclude_embeddings else set()
        return sum(
            parameter.numel()
            for parameter in self.parameters()
            if id(parameter) not in tables and (parameter.requires_grad or not only_trainable)
        )

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: Mapping[str, Any] | None = None, **_: Any
    ) -> None:
        """Keep only the layers' inputs for the backward pass, and compute the rest again."""
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
        """Whether layers are computed again."""
        return any(layer.gradient_checkpointing is not None for layer in self._layers())

    def can_generate(self) -> bool:
        """An encoder writes no text."""
        return False

    def _layers(self) -> list[BertLayer]:
        return [module for module in self.modules() if isinstance(module, BertLayer)]

    def _set_checkpointing(self, options: dict[str, Any] | None) -> None:
        for layer in self._layers():
            layer.gradient_checkpointing = options
