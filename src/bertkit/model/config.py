"""Sizes and constants of encoders, and the presets: free of torch, as the command line shows them at --help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, get_args

from msgspec import Meta

from bertkit.core.arguments import checked
from bertkit.core.errors import InputError
from bertkit.core.records import Count

ACTIVATIONS = ("gelu", "gelu_new")
"""`gelu` is the exact erf form, `gelu_new` the tanh form of the code released after 2019-02."""

ClassifierPooling = Literal["cls", "mean"]

# Ranges that hold every model that there is, so that a wrong number is told before memory is taken for it.
Vocabulary = Annotated[int, Meta(ge=1, le=1 << 24)]
Width = Annotated[int, Meta(ge=1, le=1 << 17)]
Depth = Annotated[int, Meta(ge=1, le=1 << 10)]
Positions = Annotated[int, Meta(ge=1, le=1 << 24)]
Types = Annotated[int, Meta(ge=0, le=1 << 16)]
Dropout = Annotated[float, Meta(ge=0, lt=1)]
Epsilon = Annotated[float, Meta(gt=0, lt=1)]
Deviation = Annotated[float, Meta(ge=0, le=100)]
Base = Annotated[float, Meta(gt=0, le=1e12)]


@checked
@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """Sizes and constants of one encoder (Devlin et al. 2019, section 3); the defaults are BERT-base.

    Another architecture has a configuration of its own, with further sizes, under its own `model_type`.
    """

    has_pooler: ClassVar[bool] = True
    """Whether the encoder has a pooler of its own, and not only its classifiers."""
    has_token_types: ClassVar[bool] = True
    """Whether there is at least one token type."""

    vocab_size: Vocabulary = 30522
    hidden_size: Width = 768
    num_hidden_layers: Depth = 12
    num_attention_heads: Width = 12
    intermediate_size: Width = 3072
    hidden_act: str = "gelu"
    max_position_embeddings: Positions = 512
    type_vocab_size: Types = 2
    hidden_dropout_prob: Dropout = 0.1
    attention_probs_dropout_prob: Dropout = 0.1
    layer_norm_eps: Epsilon = 1e-12
    initializer_range: Deviation = 0.02
    pad_token_id: Count = 0
    model_type: str = "bert"
    """Hugging Face's name of the architecture."""

    def __post_init__(self) -> None:
        if self.model_type != type(self).model_type:
            raise InputError(
                f"model_type {self.model_type!r} is not {type(self).__name__}'s, which is {type(self).model_type!r}: "
                "use the configuration class of that architecture"
            )
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
        if self.type_vocab_size < int(self.has_token_types):
            raise InputError(f"type_vocab_size must be at least 1, got {self.type_vocab_size}")
        if self.max_length < 1:
            raise InputError(
                f"max_position_embeddings {self.max_position_embeddings} is too small: the first token takes row "
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
    def embedding_size(self) -> int:
        """Width of the embeddings' tables."""
        return self.hidden_size

    @property
    def classifier_dropout(self) -> float:
        """Dropout between what a classifier reads and its last layer."""
        return self.hidden_dropout_prob

    @property
    def classifier_pooling(self) -> ClassifierPooling:
        """Which tokens the pooler reads."""
        return "cls"

    @property
    def position_offset(self) -> int:
        """Row of the position table that the first token takes."""
        return 0

    @property
    def max_length(self) -> int:
        """Tokens of the longest sequence that has positions, special ones counted."""
        return self.max_position_embeddings - self.position_offset

    def window(self, depth: int) -> int | None:
        """How many tokens to each side the layer of a depth attends to, None for all."""
        return None


@dataclass(frozen=True, kw_only=True)
class RobertaConfig(BertConfig):
    """RoBERTa's sizes: positions start behind the padding entry's."""

    model_type: str = "roberta"

    @property
    def position_offset(self) -> int:
        """Row of the position table that the first token takes."""
        return self.pad_token_id + 1


@dataclass(frozen=True, kw_only=True)
class DistilBertConfig(BertConfig):
    """DistilBERT's sizes: no token types, and no pooler but a classifier's own."""

    has_pooler: ClassVar[bool] = False
    has_token_types: ClassVar[bool] = False

    type_vocab_size: Types = 0
    model_type: str = "distilbert"


REPLACED_TOKEN_DETECTION = "BertForReplacedTokenDetection"
"""Hugging Face's ElectraForPreTraining, which has nothing of BertForPreTraining."""


@dataclass(frozen=True, kw_only=True)
class ElectraConfig(BertConfig):
    """Sizes and constants; the defaults are ELECTRA-small."""

    has_pooler: ClassVar[bool] = False

    hidden_size: Width = 256
    num_attention_heads: Width = 4
    intermediate_size: Width = 1024
    model_type: str = "electra"
    embedding_size: Width = 128
    """Width of the embeddings, which are projected to the hidden size where the two differ."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.embedding_size, int) or self.embedding_size < 1:
            raise InputError(f"embedding_size must be a whole number of at least 1, got {self.embedding_size!r}")


@checked
@dataclass(frozen=True, kw_only=True)
class ModernBertConfig(BertConfig):
    """Sizes and constants (Warner et al. 2024, section 2.1 and table 4); the defaults are ModernBERT-base.

    Names are BERT's where the thing is the same. There are no biases but the classifiers' and the masked-LM decoder's.
    """

    has_pooler: ClassVar[bool] = False
    has_token_types: ClassVar[bool] = False

    vocab_size: Vocabulary = 50368
    num_hidden_layers: Depth = 22
    intermediate_size: Width = 1152
    """Of what the gate leaves: the first matrix is twice as wide."""
    max_position_embeddings: Positions = 8192
    """Longest sequence; positions have no table."""
    type_vocab_size: Types = 0
    hidden_dropout_prob: Dropout = 0.0
    """Inside the feed-forward network alone."""
    attention_probs_dropout_prob: Dropout = 0.0
    """Of what attention adds, too."""
    layer_norm_eps: Epsilon = 1e-5
    pad_token_id: Count = 50283
    model_type: str = "modernbert"
    embedding_dropout: Dropout = 0.0
    classifier_dropout: Dropout = 0.0
    classifier_pooling: ClassifierPooling = "cls"
    """What a classifier of sequences reads: [CLS], or the mean of all tokens."""
    global_attn_every_n_layers: Depth = 3
    """Layers 0, n, 2n, ... attend to the whole sequence, the others to the tokens around."""
    local_attention: Positions = 128
    """Width of that window, half of it on each side."""
    global_rope_theta: Base = 160_000.0
    """Base of the rotary positions' wavelengths in layers that see the whole sequence."""
    local_rope_theta: Base = 10_000.0

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


PRESETS = {
    "tiny": BertConfig(num_hidden_layers=2, hidden_size=128, num_attention_heads=2, intermediate_size=512),
    "mini": BertConfig(num_hidden_layers=4, hidden_size=256, num_attention_heads=4, intermediate_size=1024),
    "small": BertConfig(num_hidden_layers=4, hidden_size=512, num_attention_heads=8, intermediate_size=2048),
    "medium": BertConfig(num_hidden_layers=8, hidden_size=512, num_attention_heads=8, intermediate_size=2048),
    "base": BertConfig(num_hidden_layers=12, hidden_size=768, num_attention_heads=12, intermediate_size=3072),
    "large": BertConfig(num_hidden_layers=24, hidden_size=1024, num_attention_heads=16, intermediate_size=4096),
}
"""The six sizes of BERT (Devlin et al. 2019; Turc et al. 2019 for tiny to medium)."""


def _modern(layers: int, width: int, intermediate: int, *, longest: int = 1024, vocabulary: int = 30522) -> BertConfig:
    return ModernBertConfig(
        vocab_size=vocabulary,
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=width // 64,
        intermediate_size=intermediate,
        max_position_embeddings=longest,
        pad_token_id=0,
    )


MODERN_PRESETS = {
    "tiny": _modern(3, 128, 192),
    "mini": _modern(6, 256, 384),
    "small": _modern(6, 512, 768),
    "medium": _modern(11, 512, 768),
    "base": _modern(22, 768, 1152, longest=8192, vocabulary=50368),
    "large": _modern(28, 1024, 2624, longest=8192, vocabulary=50368),
}
"""ModernBERT in the same sizes: base and large are the published ones (Warner et al. 2024, table 4), the others have
base's proportions and nearly as many weights in their layers as BERT's of that name. The padding entry is WordPiece's.
"""
