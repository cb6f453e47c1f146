"""bertkit's layers and heads with the tree of parameter names that Transformers has.

Each class moves the parts of the one in `bertkit.model` to their places in Transformers' tree, and keeps the names that
the inherited `forward` uses as properties; that is where types are ignored.
"""
# T tokens, M positions, H hidden, V vocabulary.

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from bertkit.model import heads, layers
from bertkit.model.bert import bert_transform
from bertkit.model.config import BertConfig
from bertkit.model.dropout import Dropout


class BertEmbeddings(layers.BertEmbeddings):
    """`word_embeddings`, `position_embeddings`, `token_type_embeddings`, `LayerNorm`."""

    def __init__(self, config: BertConfig, padding_idx: int | None) -> None:
        super().__init__(config)
        self.LayerNorm = self._modules.pop("norm")
        self.word_embeddings.padding_idx = padding_idx

    @property
    def norm(self) -> Any:  # type: ignore[override]
        """Under the name that the encoder uses."""
        return self.LayerNorm


class BertSelfAttention(nn.Module):
    """`query`, `key` and `value`, computed as one matrix product while they are plain linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, hidden: Tensor) -> Tensor:
        """(T, H) to (T, 3 * H)."""
        parts = (self.query, self.key, self.value)
        fewer_results_than_weights = len(hidden) < hidden.shape[-1]
        if fewer_results_than_weights or not all(_is_plain(part) for part in parts):
            return torch.cat([part(hidden) for part in parts], -1)
        weight, bias = torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])
        return F.linear(hidden, weight, bias)


def _is_plain(part: nn.Module) -> bool:
    return type(part) is nn.Linear and not (part._forward_hooks or part._forward_pre_hooks or part._backward_hooks)


class DenseWithNorm(nn.Module):
    """`dense` and a `LayerNorm`; the layer itself adds dropout and the residual between them."""

    def __init__(self, inputs: int, outputs: int, eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, outputs)
        self.LayerNorm = nn.LayerNorm(outputs, eps=eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """The linear layer alone."""
        return self.dense(hidden)  # type: ignore[no-any-return]


class BertAttention(layers.BertAttention):
    """`self` and `output`."""

    def __init__(self, config: BertConfig) -> None:
        nn.Module.__init__(self)
        self.heads, self.drop_rate = config.num_attention_heads, config.attention_probs_dropout_prob
        self.self = BertSelfAttention(config.hidden_size)
        self.output = DenseWithNorm(  # type: ignore[assignment]
            config.hidden_size, config.hidden_size, config.layer_norm_eps
        )

    @property
    def query_key_value(self) -> Any:  # type: ignore[override]
        """Under the name that the encoder uses."""
        return self.self


class BertIntermediate(nn.Module):
    """`dense`, to the intermediate size."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """The linear layer alone."""
        return self.dense(hidden)  # type: ignore[no-any-return]


class BertLayer(layers.BertLayer):
    """`attention`, `intermediate` and `output`."""

    def __init__(self, config: BertConfig) -> None:
        nn.Module.__init__(self)
        self.gradient_checkpointing: dict[str, Any] | None = None
        self.attention = BertAttention(config)
        self.intermediate = BertIntermediate(config)  # type: ignore[assignment]
        self.activation = layers.activation(config.hidden_act)
        self.output = DenseWithNorm(  # type: ignore[assignment]
            config.intermediate_size, config.hidden_size, config.layer_norm_eps
        )
        self.dropout = Dropout(config.hidden_dropout_prob)

    @property
    def attention_norm(self) -> Any:  # type: ignore[override]
        """Under the name that the encoder uses."""
        return self.attention.output.LayerNorm

    @property
    def output_norm(self) -> Any:  # type: ignore[override]
        """Under the name that the encoder uses."""
        return self.output.LayerNorm

    def forward(self, hidden: Tensor, *others: Any) -> Tensor:
        """(T, H) to (T, H), computed again in the backward pass if gradient checkpointing is on."""
        if self.gradient_checkpointing is None or not self.training:
            return super().forward(hidden, *others)
        return checkpoint(super().forward, hidden, *others, **self.gradient_checkpointing)  # type: ignore[no-any-return]


class BertEncoder(nn.Module):
    """`layer`."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))


class BertPredictionHeadTransform(nn.Module):
    """`dense` and `LayerNorm`."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class BertLMPredictionHead(heads.MaskedLMHead):
    """`transform`, and `decoder`, whose weight is the word embeddings and whose bias is `bias`."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(bert_transform(config), config.vocab_size)
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
        """Use the word embeddings (V, H) as the decoder's weight."""
        self.decoder.weight, self.decoder.bias = word_embeddings, self.bias
        self.decoder.out_features = len(word_embeddings)

    def logits(self, hidden: Tensor) -> Tensor:
        """(M, H) to (M, V)."""
        return self(hidden, self.decoder.weight)  # type: ignore[no-any-return]


def _untie(head: nn.Module, state_dict: dict[str, Any], prefix: str, _: Any) -> None:
    """Copy the tied tensors: safetensors refuses to write one tensor under two names."""
    for name in ("decoder.weight", "decoder.bias"):
        tensor = state_dict[prefix + name]
        if not isinstance(tensor, nn.Parameter):
            state_dict[prefix + name] = tensor.clone()


class BertPreTrainingHeads(nn.Module):
    """`predictions` (masked LM) and `seq_relationship` (next sentence), or one of them."""

    def __init__(self, config: BertConfig, *, masked_lm: bool = True, next_sentence: bool = True) -> None:
        super().__init__()
        if masked_lm:
            self.predictions = BertLMPredictionHead(config)
        if next_sentence:
            self.seq_relationship = nn.Linear(config.hidden_size, 2)
