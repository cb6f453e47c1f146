"""TensorFlow 1's checkpoints, as google-research/bert reads and writes them, with `bert_config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit.core.errors import InputError
from bertkit.core.files import read_json
from bertkit.core.records import in_file
from bertkit.model.config import BertConfig
from bertkit.pretrained.formats.name_table import NameTable

if TYPE_CHECKING:
    from torch import Tensor

CONFIG_FILE = "bert_config.json"
CHECKPOINT_NAME = "bert_model.ckpt"

NAMES = NameTable(
    rows=(
        (r"^bert\.embeddings\.(\w+_embeddings)\.weight$", r"bert/embeddings/\1"),
        (r"^bert\.embeddings\.norm\.", "bert/embeddings/LayerNorm/"),
        (r"^bert\.layers\.(\d+)\.attention\.output\.", r"bert/encoder/layer_\1/attention/output/dense/"),
        (
            r"^bert\.layers\.(\d+)\.attention\.query_key_value\.",
            r"bert/encoder/layer_\1/attention/self/query_key_value/",
        ),
        (r"^bert\.layers\.(\d+)\.attention_norm\.", r"bert/encoder/layer_\1/attention/output/LayerNorm/"),
        (r"^bert\.layers\.(\d+)\.intermediate\.", r"bert/encoder/layer_\1/intermediate/dense/"),
        (r"^bert\.layers\.(\d+)\.output\.", r"bert/encoder/layer_\1/output/dense/"),
        (r"^bert\.layers\.(\d+)\.output_norm\.", r"bert/encoder/layer_\1/output/LayerNorm/"),
        (r"^bert\.pooler\.dense\.", "bert/pooler/dense/"),
        (r"^masked_lm\.dense\.", "cls/predictions/transform/dense/"),
        (r"^masked_lm\.norm\.", "cls/predictions/transform/LayerNorm/"),
        (r"^masked_lm\.bias$", "cls/predictions/output_bias"),
        (r"^next_sentence\.dense\.", "cls/seq_relationship/output_"),
        (r"^head\.qa_outputs\.", "cls/squad/output_"),
        (r"^head\.dense\.", "output_"),
    ),
    endings=(
        (r"LayerNorm/weight$", "LayerNorm/gamma"),
        (r"LayerNorm/bias$", "LayerNorm/beta"),
        (r"output_weight$", "output_weights"),  # these have outputs as rows, unlike every kernel
        (r"/weight$", "/kernel"),
    ),
    transposed=r"/kernel$",
    unused=r"(/adam_[mv]|^global_step)$",
)

ARCHITECTURES = (
    "BertModel",
    "BertForPreTraining",
    "BertForMaskedLM",
    "BertForNextSentencePrediction",
    "BertForSequenceClassification",
    "BertForQuestionAnswering",
)
"""Those that google-research/bert has."""

_LAYER_NORM_EPS = 1e-12


def read_config(path: Path) -> BertConfig:
    """The architecture that `bert_config.json` describes.

    Its `gelu` was the exact form until February 2019 and is the tanh form since; it is taken for the exact one, which
    the published models have.
    """
    content = read_json(path)
    if not isinstance(content, dict) or "hidden_size" not in content:
        raise InputError(f"{path} describes no BERT: it has no hidden_size")
    known = asdict(BertConfig())
    values = {name: value for name, value in content.items() if name in known and name != "model_type"}
    return in_file(path, BertConfig, values, "copy it again")


def describe_config(config: BertConfig) -> dict[str, Any]:
    """The keys of `bert_config.json`; raise `InputError` for what google-research/bert cannot be.

    `gelu` is the one name that it knows for both forms.
    """
    if type(config) is not BertConfig:
        raise InputError(f"{config.model_type} cannot be written as a TensorFlow checkpoint of BERT: use huggingface")
    if config.layer_norm_eps != _LAYER_NORM_EPS:
        raise InputError(
            f"layer_norm_eps {config.layer_norm_eps} has no place in a TensorFlow checkpoint, where it is "
            f"{_LAYER_NORM_EPS}: use huggingface"
        )
    content = asdict(config)
    for name in ("model_type", "layer_norm_eps", "pad_token_id"):
        del content[name]
    return content | {"hidden_act": "gelu"}


def find_architecture(tensors: Mapping[str, Tensor]) -> tuple[str, int]:
    """Hugging Face's class with the heads that a checkpoint has, and the outputs of a classifier."""
    if "output_weights" in tensors:
        return "BertForSequenceClassification", len(tensors["output_weights"])
    if "cls/squad/output_weights" in tensors:
        return "BertForQuestionAnswering", 2
    masked_lm = "cls/predictions/output_bias" in tensors
    next_sentence = "cls/seq_relationship/output_weights" in tensors
    if masked_lm:
        return "BertForPreTraining" if next_sentence else "BertForMaskedLM", 0
    return "BertForNextSentencePrediction" if next_sentence else "BertModel", 0
