"""Hugging Face's RoBERTa (Liu et al. 2019): one token type, and positions that start behind the padding entry's."""

from bertkit.model.config import RobertaConfig
from bertkit.pretrained.formats.bert import BERT
from bertkit.pretrained.formats.name_table import SEQUENCE_CLASSIFICATION, ModelFormat, NameTable

_CLASSIFIER = (
    (r"^bert\.pooler\.dense\.", "classifier.dense."),
    (r"^head\.dense\.", "classifier.out_proj."),
)
"""A sequence classifier has a pooler as its first layer."""
_MASKED_LM = (
    (r"^masked_lm\.dense\.", "lm_head.dense."),
    (r"^masked_lm\.norm\.", "lm_head.layer_norm."),
    (r"^masked_lm\.", "lm_head."),
)
_OTHERS = tuple(
    (pattern, name.replace("bert.", "roberta.", 1))
    for pattern, name in BERT.names.rows
    if pattern.startswith((r"^bert\.", r"^head\."))
)
_SPELLINGS = (
    (r"^module\.", ""),
    (r"^(embeddings|encoder|pooler)\.", r"roberta.\1."),
    (r"^lm_head\.decoder\.weight$", "roberta.embeddings.word_embeddings.weight"),
    (r"^lm_head\.decoder\.bias$", "lm_head.bias"),
)
_UNUSED = r"embeddings\.(position_ids|token_type_ids)$"

ROBERTA = ModelFormat(
    class_prefix="Roberta",
    names=NameTable(rows=(*_MASKED_LM, *_OTHERS, (r"^bert\.", "roberta.")), spellings=_SPELLINGS, unused=_UNUSED),
    config_type=RobertaConfig,
    names_of_class={
        SEQUENCE_CLASSIFICATION: NameTable(
            rows=(*_CLASSIFIER, *_OTHERS, (r"^bert\.", "roberta.")), spellings=_SPELLINGS, unused=_UNUSED
        )
    },
    mask_token="<mask>",
    written=BERT.written,
    unset={"vocab_size": 50265, "pad_token_id": 1},
)
