"""The kinds of encoder that model folders of Hugging Face's may hold, by `model_type`."""

from bertkit.pretrained.formats.bert import BERT
from bertkit.pretrained.formats.distilbert import DISTILBERT
from bertkit.pretrained.formats.electra import ELECTRA
from bertkit.pretrained.formats.modernbert import MODERNBERT
from bertkit.pretrained.formats.roberta import ROBERTA

FORMATS = {each.config_type.model_type: each for each in (BERT, DISTILBERT, ROBERTA, MODERNBERT, ELECTRA)}
