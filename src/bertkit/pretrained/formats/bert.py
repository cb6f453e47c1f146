"""Hugging Face's BERT."""

from bertkit.pretrained.formats.name_table import ModelFormat, NameTable

BERT = ModelFormat(
    class_prefix="Bert",
    names=NameTable(
        rows=(
            (r"^bert\.embeddings\.norm\.", "bert.embeddings.LayerNorm."),
            (r"^bert\.layers\.(\d+)\.attention\.output\.", r"bert.encoder.layer.\1.attention.output.dense."),
            (r"^bert\.layers\.(\d+)\.attention\.", r"bert.encoder.layer.\1.attention.self."),
            (r"^bert\.layers\.(\d+)\.attention_norm\.", r"bert.encoder.layer.\1.attention.output.LayerNorm."),
            (r"^bert\.layers\.(\d+)\.intermediate\.", r"bert.encoder.layer.\1.intermediate.dense."),
            (r"^bert\.layers\.(\d+)\.output\.", r"bert.encoder.layer.\1.output.dense."),
            (r"^bert\.layers\.(\d+)\.output_norm\.", r"bert.encoder.layer.\1.output.LayerNorm."),
            (r"^masked_lm\.dense\.", "cls.predictions.transform.dense."),
            (r"^masked_lm\.norm\.", "cls.predictions.transform.LayerNorm."),
            (r"^masked_lm\.", "cls.predictions."),
            (r"^next_sentence\.dense\.", "cls.seq_relationship."),
            (r"^head\.dense\.", "classifier."),
            (r"^head\.qa_outputs\.", "qa_outputs."),
        ),
        spellings=(
            (r"^module\.", ""),  # torch's DataParallel
            (r"LayerNorm\.gamma$", "LayerNorm.weight"),
            (r"LayerNorm\.beta$", "LayerNorm.bias"),
            (r"^(embeddings|encoder|pooler)\.", r"bert.\1."),  # an encoder saved alone
            (r"^cls\.predictions\.decoder\.weight$", "bert.embeddings.word_embeddings.weight"),
            (r"^cls\.predictions\.decoder\.bias$", "cls.predictions.bias"),
        ),
        unused=r"embeddings\.position_ids$",
    ),
    written={"position_embedding_type": "absolute"},
)
