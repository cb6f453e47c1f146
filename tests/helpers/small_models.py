"""Folders of small random models, of every architecture and for every class that has a head."""

from __future__ import annotations

from pathlib import Path

import torch

from bertkit.model.config import BertConfig, DistilBertConfig, ElectraConfig, ModernBertConfig, RobertaConfig
from bertkit.pretrained.config_json import ModelDescription
from bertkit.pretrained.models import BertWithHeads
from bertkit.pretrained.sentence_settings import SentenceSettings

_SIZES = {
    "vocab_size": 61,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
}
CONFIGS: dict[str, BertConfig] = {
    "bert": BertConfig(**_SIZES),
    "bert, tanh GELU": BertConfig(**_SIZES, hidden_act="gelu_new"),
    "distilbert": DistilBertConfig(**_SIZES),
    "roberta": RobertaConfig(**_SIZES, type_vocab_size=1, pad_token_id=1),
    "electra": ElectraConfig(**_SIZES, embedding_size=10),
    "modernbert": ModernBertConfig(**_SIZES, local_attention=8, pad_token_id=0),
    "modernbert, mean": ModernBertConfig(**_SIZES, local_attention=8, pad_token_id=0, classifier_pooling="mean"),
}
HEADS = (
    "BertModel",
    "BertForMaskedLM",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
    "BertForMultipleChoice",
)
"""Classes that every architecture has, in BERT's name."""
LABELS = ("a", "b", "c")
_LABELLED = ("BertForSequenceClassification", "BertForTokenClassification")


def small_model(config: BertConfig, architecture: str, seed: int = 0) -> BertWithHeads:
    """A model of Hugging Face's class in BERT's name, whose weights, biases and norms are all random."""
    labels = LABELS if architecture in _LABELLED else None
    model = BertWithHeads.outline(ModelDescription(config=config, architecture=architecture, labels=labels))
    model.to_empty(device="cpu")
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        mean = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        parameter.data.normal_(mean, 0.3 if parameter.ndim > 1 else 0.1, generator=draw)
    return model.eval()


def small_folder(
    folder: Path, config: BertConfig, architecture: str, sentences: SentenceSettings | None = None
) -> BertWithHeads:
    """Write such a model, without a tokenizer, and return it."""
    model = small_model(config, architecture)
    model.save_pretrained(folder, sentences=sentences)
    return model
