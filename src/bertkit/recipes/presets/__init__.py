"""Recipes of pre-training: options that belong together, as files for `--config` and for `pretrain_options`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

RecipeName = Literal["bert", "roberta", "budget", "modern"]


def recipe_file(name: str) -> Path:
    """Where a recipe's options are."""
    return Path(__file__).with_name(f"{name}.yaml")
