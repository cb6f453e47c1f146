"""Architecture of a ModernBERT encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from bertkit.foundation.errors import InputError
from bertkit.model.config import BertConfig

ClassifierPooling = Literal["cls", "mean"]


@dataclass(frozen=True, kw_only=True)
class ModernBertConfig(BertConfig):
    """Sizes and constants (Warner et al. 2024, section 2.1 and table 4); the defaults are ModernBERT-base.

    Names are BERT's where the thing is the same. There are no biases but the classifiers' and the masked-LM decoder's.
    """

    vocab_size: int = 50368
    num_hidden_layers: int = 22
    intermediate_size: int = 1152
    """Of what the gate leaves: the first matrix is twice as wide."""
    max_position_embeddings: int = 8192
    """Longest sequence; positions have no table."""
    type_vocab_size: int = 0
    hidden_dropout_prob: float = 0.0
    """Inside the feed-forward network alone."""
    attention_probs_dropout_prob: float = 0.0
    """Of what attention adds, too."""
    layer_norm_eps: float = 1e-5
    pad_token_id: int = 50283
    model_type: str = "modernbert"
    embedding_dropout: float = 0.0
    classifier_dropout: float = 0.0
    classifier_pooling: ClassifierPooling = "cls"
    """What a classifier of sequences reads: [CLS], or the mean of all tokens."""
    global_attn_every_n_layers: int = 3
    """Layers 0, n, 2n, ... attend to the whole sequence, the others to the tokens around."""
    local_attention: int = 128
    """Width of that window, half of it on each side."""
    global_rope_theta: float = 160_000.0
    """Base of the rotary positions' wavelengths in layers that see the whole sequence."""
    local_rope_theta: float = 10_000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("global_attn_every_n_layers", 1), ("local_attention", 2)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}")
        if self.head_size % 2:
            raise InputError(
                f"hidden_size {self.hidden_size} makes {self.num_attention_heads} heads of {self.head_size}: "
                "rotary positions need an even number"
            )
        if self.classifier_pooling not in get_args(ClassifierPooling):
            raise InputError(f"classifier_pooling {self.classifier_pooling!r} is unknown: use cls or mean")
        for name in ("embedding_dropout", "classifier_dropout"):
            rate = getattr(self, name)
            if not isinstance(rate, int | float) or not 0 <= rate < 1:
                raise InputError(f"{name} must lie in [0, 1), got {rate!r}")

    def window(self, depth: int) -> int | None:
        """How many tokens to each side a layer attends to, None for all."""
        return self.local_attention // 2 if depth % self.global_attn_every_n_layers else None
