"""Drop-in replacements of Transformers' BERT classes: change the import, get the same numbers in less time.

The classes compute without padding. They do not need Transformers, but accept its configuration objects. `__all__`
lists what is public; `layers` has the modules by Transformers' names, for those who replace parts of a model.
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
