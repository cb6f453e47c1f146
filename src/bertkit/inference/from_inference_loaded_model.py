"""What a model folder holds, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bertkit.foundation.errors import InputError
from bertkit.inference.vocabulary_size import check_vocabulary_size
from bertkit.model.bert import BertModel
from bertkit.model.heads import MaskedLMHead
from bertkit.model.sentence_settings import SentenceSettings
from bertkit.tasks.contract import Task
from bertkit.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """An encoder in evaluation mode with its tokenizer and the heads that the folder has."""

    path: Path
    architecture: str
    """Hugging Face's class that the folder was written for."""
    device: torch.device
    tokenizer: Tokenizer
    bert: BertModel
    settings: SentenceSettings
    masked_lm: MaskedLMHead | None = None
    task: Task[Any] | None = None
    head: nn.Module | None = None
    """From pooled outputs or from all tokens to the task's logits; there is one where there is a task."""

    def __post_init__(self) -> None:
        check_vocabulary_size(self.path, self.tokenizer.vocab_size, self.bert.config.vocab_size)

    def longest(self, max_length: int | None, default: int | None = None) -> int:
        """Tokens that a text is cut to: `max_length`, else `default`, else all that the model has positions for."""
        positions = self.bert.config.max_length
        if max_length is None:
            return positions if default is None else min(default, positions)
        if not 3 <= max_length <= positions:
            raise InputError(f"max_length must lie in 3 to {positions}, the model's positions, got {max_length}")
        return max_length
