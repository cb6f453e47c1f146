"""The kinds of encoder that model folders of Hugging Face's may hold, by `model_type`."""

from bertkit.model.formats.bert import BERT
from bertkit.model.formats.distilbert import DISTILBERT
from bertkit.model.formats.modernbert import MODERNBERT
from bertkit.model.formats.roberta import ROBERTA

FORMATS = {each.model_type: each for each in (BERT, DISTILBERT, ROBERTA, MODERNBERT)}
