"""Published sizes."""

from bertkit.model.config import BertConfig
from bertkit.model.modern_config import ModernBertConfig

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
