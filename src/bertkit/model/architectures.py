"""The table of architectures, and the heads that a configuration asks for."""

from __future__ import annotations

from typing import Any

from bertkit.model.architecture import Architecture
from bertkit.model.bert import BERT, DISTILBERT, ROBERTA
from bertkit.model.config import BertConfig
from bertkit.model.electra import ELECTRA
from bertkit.model.heads import ClassificationHead, MaskedLMHead, SpanHead, TokenClassificationHead
from bertkit.model.modern import MODERNBERT

ARCHITECTURES: dict[str, Architecture[Any]] = {
    each.model_type: each for each in (BERT, DISTILBERT, ROBERTA, MODERNBERT, ELECTRA)
}
"""By `model_type`."""


def architecture_of(config: BertConfig) -> Architecture[Any]:
    """The family that a configuration belongs to."""
    return ARCHITECTURES[config.model_type]


def masked_lm_head(config: BertConfig) -> MaskedLMHead:
    """The head that predicts hidden tokens."""
    return MaskedLMHead(architecture_of(config).masked_lm_transform(config), config.vocab_size)


def sequence_head(config: BertConfig, num_labels: int) -> ClassificationHead:
    """The head that labels or scores sequences."""
    return ClassificationHead(config.hidden_size, num_labels, config.classifier_dropout)


def choice_head(config: BertConfig) -> ClassificationHead:
    """The head that scores every choice, a choice being a sequence."""
    return ClassificationHead(config.hidden_size, 1, config.classifier_dropout)


def token_head(config: BertConfig, num_labels: int) -> TokenClassificationHead:
    """The head that labels tokens."""
    transform = architecture_of(config).token_transform(config)
    return TokenClassificationHead(transform, config.hidden_size, num_labels, config.classifier_dropout)


def span_head(config: BertConfig) -> SpanHead:
    """The head that finds where an answer starts and ends."""
    return SpanHead(architecture_of(config).token_transform(config), config.hidden_size)
