"""A model that was loaded: its engine, and what a text needs on its way into it and out of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertkit.core.console import note
from bertkit.core.errors import InputError
from bertkit.inference.engine import Engine
from bertkit.model.config import BertConfig
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.sentence_settings import SentenceSettings
from bertkit.tasks.contract import Task
from bertkit.text.tokenizer import Tokenizer

_ROUNDED_UP = 128
"""Tables of embeddings are rounded up to at most a multiple of this."""


def check_vocabulary_size(folder: Path, entries: int, rows: int) -> None:
    """Raise `InputError` for a vocabulary with more entries than the model has rows, and say so if it has far fewer."""
    if entries > rows:
        raise InputError(
            f"{folder}: the vocabulary has {entries:,} entries but the model knows {rows:,}: "
            "put the tokenizer files of this model beside it"
        )
    if rows - entries >= _ROUNDED_UP:
        note(
            f"{folder}: the vocabulary has {entries:,} entries but the model knows {rows:,}: "
            "are these the tokenizer files of this model?"
        )


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """What a model folder holds, ready for texts."""

    folder: ModelFolder
    tokenizer: Tokenizer
    engine: Engine
    task: Task[Any] | None = None
    """None for a model that was not fine-tuned; its logits are those of the backend's head `task`."""

    @property
    def path(self) -> Path:
        """Of the folder."""
        return self.folder.path

    @property
    def architecture(self) -> str:
        """Hugging Face's class that the folder was written for."""
        return self.folder.description.class_name

    @property
    def config(self) -> BertConfig:
        """The encoder's."""
        return self.folder.config

    @property
    def settings(self) -> SentenceSettings:
        """How texts become vectors, as the folder says or by default."""
        return self.folder.sentences or SentenceSettings()

    def longest(self, max_length: int | None, default: int | None = None) -> int:
        """Tokens that a text is cut to: `max_length`, else `default`, else all that the model has positions for."""
        positions = self.config.max_length
        if max_length is None:
            return positions if default is None else min(default, positions)
        if not 3 <= max_length <= positions:
            raise InputError(f"max_length must lie in 3 to {positions}, the model's positions, got {max_length}")
        return max_length
