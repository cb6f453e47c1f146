"""Transformers' BERT classes on the packed encoder: another import line, the same numbers, less time.

Needs no Transformers, and takes its configuration objects.
"""

from bertkit.hf.bert_model import BertModel
from bertkit.hf.config import BertConfig
from bertkit.hf.for_pretraining import BertForPreTraining
from bertkit.hf.masked_lm import BertForMaskedLM
from bertkit.hf.multiple_choice import BertForMultipleChoice
from bertkit.hf.next_sentence import BertForNextSentencePrediction
from bertkit.hf.pretrained import BertPreTrainedModel
from bertkit.hf.question_answering import BertForQuestionAnswering
from bertkit.hf.sequence_classification import BertForSequenceClassification
from bertkit.hf.token_classification import BertForTokenClassification

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
