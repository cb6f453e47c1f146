"""Hugging Face's ModernBERT (Warner et al. 2024): query, key and value are one matrix, all heads have a transform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from bertkit.core.errors import InputError
from bertkit.core.records import from_json
from bertkit.model.config import BertConfig, ModernBertConfig
from bertkit.pretrained.formats.name_table import ModelFormat, NameTable

_WHOLE, _WINDOW = "full_attention", "sliding_attention"
_THETAS = ((_WHOLE, "global_rope_theta"), (_WINDOW, "local_rope_theta"))
_TOKENS = ("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")


class _ModernBertFormat(ModelFormat):
    """With the keys of all versions of Transformers; those of the first, which all read, are written."""

    def read_config(self, description: Mapping[str, Any]) -> BertConfig:
        """As in other formats."""
        return super().read_config({**description, **_rope_thetas(description), **_layer_pattern(description)})

    def describe_config(self, config: BertConfig) -> dict[str, Any]:
        """As in other formats; the ids of special tokens are the tokenizer's, not Transformers' defaults."""
        return super().describe_config(config) | dict.fromkeys(_TOKENS)


class _Positions(TypedDict, total=False):
    rope_parameters: dict[str, dict[str, Any] | None] | None
    layer_types: list[str] | None


def _rope_thetas(description: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    given = from_json(_Positions, dict(description), known_only=False).get("rope_parameters") or {}
    for kind, key in _THETAS:
        parameters = given.get(kind) or {}
        if parameters.get("rope_type", "default") != "default":
            raise InputError(f"rope_type is {parameters['rope_type']!r}: only 'default' can be loaded")
        if "rope_theta" in parameters:
            found[key] = parameters["rope_theta"]
    return found


def _layer_pattern(description: Mapping[str, Any]) -> dict[str, int]:
    kinds = from_json(_Positions, dict(description), known_only=False).get("layer_types")
    if not kinds:
        return {}
    every = next((depth for depth, kind in enumerate(kinds) if depth and kind == _WHOLE), len(kinds))
    if kinds != [_WINDOW if depth % every else _WHOLE for depth in range(len(kinds))]:
        raise InputError(
            f"layer_types is {', '.join(kinds)}: only every so many layers may have {_WHOLE}, the first too"
        )
    return {"global_attn_every_n_layers": every}


MODERNBERT = _ModernBertFormat(
    class_prefix="ModernBert",
    config_type=ModernBertConfig,
    names=NameTable(
        rows=(
            (r"^bert\.embeddings\.word_embeddings\.", "model.embeddings.tok_embeddings."),
            (r"^bert\.layers\.(\d+)\.attention_norm\.", r"model.layers.\1.attn_norm."),
            (r"^bert\.layers\.(\d+)\.attention\.query_key_value\.", r"model.layers.\1.attn.Wqkv."),
            (r"^bert\.layers\.(\d+)\.attention\.output\.", r"model.layers.\1.attn.Wo."),
            (r"^bert\.layers\.(\d+)\.intermediate_norm\.", r"model.layers.\1.mlp_norm."),
            (r"^bert\.layers\.(\d+)\.intermediate\.", r"model.layers.\1.mlp.Wi."),
            (r"^bert\.layers\.(\d+)\.output\.", r"model.layers.\1.mlp.Wo."),
            # The masked LM's transform is what a task's starts from.
            (r"^bert\.pooler\.", "head."),
            (r"^bert\.", "model."),
            (r"^masked_lm\.bias$", "decoder.bias"),
            (r"^masked_lm\.", "head."),
            (r"^head\.transform\.", "head."),
            (r"^head\.(dense|qa_outputs)\.", "classifier."),
        ),
        spellings=(
            (r"^module\.", ""),
            (r"^(embeddings|layers|final_norm)\.", r"model.\1."),
            (r"^decoder\.weight$", "model.embeddings.tok_embeddings.weight"),
        ),
    ),
    config_keys=(
        ("hidden_act", "hidden_activation"),
        ("layer_norm_eps", "norm_eps"),
        ("hidden_dropout_prob", "mlp_dropout"),
        ("attention_probs_dropout_prob", "attention_dropout"),
    ),
    fixed={"type_vocab_size": 0},
    required={
        "position_embedding_type": "absolute",
        "classifier_activation": "gelu",
        "tie_word_embeddings": True,
        "decoder_bias": True,
        "attention_bias": False,
        "mlp_bias": False,
        "norm_bias": False,
        "classifier_bias": False,
    },
)
