"""Whose tokenizer is followed."""

from __future__ import annotations

from typing import Literal

Reference = Literal["huggingface", "google"]
"""Hugging Face's BertTokenizer or google-research/bert's, which differ in rare cases (docs/tokenisation.md)."""
