"""The heads of pre-training in the tree that Transformers names."""
# M positions, H hidden, V vocabulary.

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from bertkit.model import heads
from bertkit.model.config import BertConfig


class BertPredictionHeadTransform(nn.Module):
    """`dense` and `LayerNorm`."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class BertLMPredictionHead(heads.MaskedLMHead):
    """`transform`, and `decoder`, whose weights are the word embeddings and whose bias is `bias`."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        del self._modules["dense"], self._modules["norm"]
        self.transform = BertPredictionHeadTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.register_state_dict_post_hook(_untie)  # type: ignore[no-untyped-call]

    @property
    def dense(self) -> Any:  # type: ignore[override]
        """Under the name that the head uses."""
        return self.transform.dense

    @property
    def norm(self) -> Any:  # type: ignore[override]
        """Under the name that the head uses."""
        return self.transform.LayerNorm

    def tie(self, word_embeddings: nn.Parameter) -> None:
        """Let the decoder be the word embeddings (V, H)."""
        self.decoder.weight, self.decoder.bias = word_embeddings, self.bias
        self.decoder.out_features = len(word_embeddings)

    def logits(self, hidden: Tensor) -> Tensor:
        """(M, H) to (M, V)."""
        return self(hidden, self.decoder.weight)  # type: ignore[no-any-return]


def _untie(head: nn.Module, state_dict: dict[str, Any], prefix: str, _: Any) -> None:
    """Give the tied tensors memory of their own: safetensors refuses to write one tensor under two names."""
    for name in ("decoder.weight", "decoder.bias"):
        tensor = state_dict[prefix + name]
        if not isinstance(tensor, nn.Parameter):
            state_dict[prefix + name] = tensor.clone()


class BertPreTrainingHeads(nn.Module):
    """`predictions` and `seq_relationship`, or one of them."""

    def __init__(self, config: BertConfig, *, masked_lm: bool = True, next_sentence: bool = True) -> None:
        super().__init__()
        if masked_lm:
            self.predictions = BertLMPredictionHead(config)
        if next_sentence:
            self.seq_relationship = nn.Linear(config.hidden_size, 2)
