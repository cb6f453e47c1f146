"""Transformers' BERT classes on the packed encoder: another import line, the same numbers, less time.

Needs no Transformers, and takes its configuration objects.
"""

from bertkit.hf.bert_model import BertModel
from bertkit.hf.config import BertConfig
from bertkit.hf.pretrained import BertPreTrainedModel
from bertkit.hf.pretraining_heads import BertForMaskedLM, BertForNextSentencePrediction, BertForPreTraining
from bertkit.hf.task_heads import (
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)

__all__ = [
    "BertConfig",
    "BertForMaskedLM",
    "BertForMultipleChoice",
    "BertForNextSentencePrediction",
    "BertForPreTraining",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertModel",
    "BertPreTrainedModel",
]
