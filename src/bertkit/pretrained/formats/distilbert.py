"""Hugging Face's DistilBERT (Sanh et al. 2019): no token types, and no pooler but the first layer of a classifier."""

from bertkit.model.config import DistilBertConfig
from bertkit.pretrained.formats.name_table import ModelFormat, NameTable

DISTILBERT = ModelFormat(
    class_prefix="DistilBert",
    config_type=DistilBertConfig,
    names=NameTable(
        rows=(
            (r"^bert\.embeddings\.norm\.", "distilbert.embeddings.LayerNorm."),
            (r"^bert\.embeddings\.", "distilbert.embeddings."),
            (r"^bert\.layers\.(\d+)\.attention\.output\.", r"distilbert.transformer.layer.\1.attention.out_lin."),
            (r"^bert\.layers\.(\d+)\.attention\.", r"distilbert.transformer.layer.\1.attention."),
            (r"^bert\.layers\.(\d+)\.attention_norm\.", r"distilbert.transformer.layer.\1.sa_layer_norm."),
            (r"^bert\.layers\.(\d+)\.intermediate\.", r"distilbert.transformer.layer.\1.ffn.lin1."),
            (r"^bert\.layers\.(\d+)\.output\.", r"distilbert.transformer.layer.\1.ffn.lin2."),
            (r"^bert\.layers\.(\d+)\.output_norm\.", r"distilbert.transformer.layer.\1.output_layer_norm."),
            (r"^bert\.pooler\.dense\.", "pre_classifier."),
            (r"^masked_lm\.dense\.", "vocab_transform."),
            (r"^masked_lm\.norm\.", "vocab_layer_norm."),
            (r"^masked_lm\.", "vocab_projector."),
            (r"^head\.dense\.", "classifier."),
            (r"^head\.qa_outputs\.", "qa_outputs."),
        ),
        parts=("q_lin", "k_lin", "v_lin"),
        spellings=(
            (r"^module\.", ""),
            (r"^(embeddings|transformer)\.", r"distilbert.\1."),
            (r"^vocab_projector\.weight$", "distilbert.embeddings.word_embeddings.weight"),
        ),
        unused=r"embeddings\.position_ids$",
    ),
    config_keys=(
        ("hidden_size", "dim"),
        ("num_hidden_layers", "n_layers"),
        ("num_attention_heads", "n_heads"),
        ("intermediate_size", "hidden_dim"),
        ("hidden_act", "activation"),
        ("hidden_dropout_prob", "dropout"),
        ("attention_probs_dropout_prob", "attention_dropout"),
    ),
    unset={"num_hidden_layers": 6},
    fixed={"type_vocab_size": 0, "layer_norm_eps": 1e-12},
)
