"""Architecture of a BERT encoder, in Hugging Face's names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bertkit.foundation.errors import InputError

ACTIVATIONS = ("gelu", "gelu_new")
"""`gelu` is the exact erf form, `gelu_new` the tanh form of the code released after 2019-02."""

MODEL_TYPES = ("bert", "distilbert", "roberta", "modernbert")


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """Sizes and constants of one encoder (Devlin et al. 2019, section 3); the defaults are BERT-base."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    pad_token_id: int = 0
    model_type: str = "bert"
    """Hugging Face's name of the format; the encoder is one, less token types (DistilBERT), shifted (RoBERTa).

    ModernBERT's is another, with a configuration of its own.
    """

    def __post_init__(self) -> None:
        if self.model_type not in MODEL_TYPES:
            raise InputError(f"model_type {self.model_type!r} is unknown: use one of {', '.join(MODEL_TYPES)}")
        for name in (
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "max_position_embeddings",
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")
        if self.type_vocab_size < (0 if self.model_type in ("distilbert", "modernbert") else 1):
            raise InputError(f"type_vocab_size must be at least 1, got {self.type_vocab_size}")
        if self.max_length < 1:
            raise InputError(
                f"max_position_embeddings {self.max_position_embeddings} is too small: RoBERTa's first token takes row "
                f"{self.position_offset}"
            )
        if self.hidden_size % self.num_attention_heads:
            raise InputError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads "
                f"{self.num_attention_heads}: choose sizes that divide"
            )
        if self.hidden_act not in ACTIVATIONS:
            raise InputError(f"hidden_act {self.hidden_act!r} is unknown: use one of {', '.join(ACTIVATIONS)}")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            rate = getattr(self, name)
            if not isinstance(rate, int | float) or not 0 <= rate < 1:
                raise InputError(f"{name} must lie in [0, 1), got {rate!r}")

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def has_pooler(self) -> bool:
        """Whether the encoder has a pooler of its own, and not only its classifiers."""
        return self.model_type in ("bert", "roberta")

    @property
    def classifier_dropout(self) -> float:
        """Dropout between what a classifier reads and its last layer."""
        return self.hidden_dropout_prob

    @property
    def classifier_pooling(self) -> Literal["cls", "mean"]:
        """Which tokens the pooler reads."""
        return "cls"

    @property
    def position_offset(self) -> int:
        """Row of the position table that the first token takes."""
        return self.pad_token_id + 1 if self.model_type == "roberta" else 0

    @property
    def max_length(self) -> int:
        """Tokens of the longest sequence that has positions, special ones counted."""
        return self.max_position_embeddings - self.position_offset
