"""Hugging Face's ELECTRA: generator and discriminator are one encoder, and heads of sequences bring a first layer."""

from __future__ import annotations

from dataclasses import replace

from bertkit.model.config import REPLACED_TOKEN_DETECTION, ElectraConfig
from bertkit.pretrained.formats.bert import BERT
from bertkit.pretrained.formats.name_table import (
    MULTIPLE_CHOICE,
    SEQUENCE_CLASSIFICATION,
    ModelFormat,
    NameTable,
    Rows,
)


class _ElectraFormat(ModelFormat):
    """With a class of pre-training that has nothing of BERT's."""

    def class_name(self, architecture: str) -> str:
        """As in other formats."""
        return "ElectraForPreTraining" if architecture == REPLACED_TOKEN_DETECTION else super().class_name(architecture)

    def architecture(self, class_name: str) -> str:
        """As in other formats."""
        return REPLACED_TOKEN_DETECTION if class_name == "ElectraForPreTraining" else super().architecture(class_name)


_ENCODER: Rows = (
    (r"^bert\.embeddings\.projection\.", "electra.embeddings_project."),
    *((pattern, name.replace("bert.", "electra.", 1)) for pattern, name in BERT.names.rows if "bert" in pattern),
)
_NAMES = NameTable(
    rows=(
        *_ENCODER,
        (r"^bert\.", "electra."),
        (r"^masked_lm\.dense\.", "generator_predictions.dense."),
        (r"^masked_lm\.norm\.", "generator_predictions.LayerNorm."),
        (r"^masked_lm\.", "generator_lm_head."),
        (r"^head\.dense\.", "classifier."),
        (r"^head\.qa_outputs\.", "qa_outputs."),
    ),
    spellings=(
        (r"^module\.", ""),
        (r"^(embeddings|embeddings_project|encoder)\.", r"electra.\1."),
        (r"^generator_lm_head\.weight$", "electra.embeddings.word_embeddings.weight"),
    ),
    unused=r"embeddings\.(position_ids|token_type_ids)$",
)


def _with(*rows: tuple[str, str]) -> NameTable:
    return replace(_NAMES, rows=(*rows, *_NAMES.rows))


ELECTRA = _ElectraFormat(
    class_prefix="Electra",
    config_type=ElectraConfig,
    names=_NAMES,
    names_of_class={
        SEQUENCE_CLASSIFICATION: _with(
            (r"^bert\.pooler\.dense\.", "classifier.dense."), (r"^head\.dense\.", "classifier.out_proj.")
        ),
        MULTIPLE_CHOICE: _with((r"^bert\.pooler\.dense\.", "sequence_summary.summary.")),
        REPLACED_TOKEN_DETECTION: _with(
            (r"^head\.dense\.", "discriminator_predictions.dense."),
            (r"^head\.prediction\.", "discriminator_predictions.dense_prediction."),
        ),
    },
    required={
        **BERT.required,
        "summary_type": "first",
        "summary_use_proj": True,
        "summary_activation": "gelu",
    },
)
