"""What a graph gives out: pooled vectors of sentences, and the logits of every head."""
# B sequences, S the longest, H hidden, C outputs of a head, V vocabulary.

from __future__ import annotations

import numpy as np

from bertkit.inference.export.encoder import Encoder
from bertkit.pretrained.sentence_settings import SentenceSettings

_POOLER = {"distilbert": "relu", "electra": "gelu"}
"""Activations of poolers other than BERT's."""


def first_token(encoder: Encoder, hidden: str, name: str) -> str:
    """Hidden states of [CLS]: (B, S, H) to (B, H)."""
    graph = encoder.operators.graph
    return graph.node("Gather", hidden, graph.constant("start", 0, np.int64), name=f"{name}/Gather", axis=1)


def mean(encoder: Encoder, hidden: str, name: str) -> str:
    """The mean of every sequence's tokens: (B, S, H) to (B, H)."""
    graph = encoder.operators.graph
    mask = encoder.mask_as_float()
    kept = graph.node("Mul", hidden, mask, name=f"{name}/Mul_mask")
    total = graph.over("ReduceSum", kept, 1, name=f"{name}/ReduceSum", keepdims=0)
    count = graph.over("ReduceSum", mask, 1, name=f"{name}/ReduceSum_mask", keepdims=0)
    count = graph.node("Max", count, graph.constant("one", 1.0), name=f"{name}/Max")
    return graph.node("Div", total, count, name=f"{name}/Div")


def pooler(encoder: Encoder, hidden: str) -> str:
    """What a classifier of sequences reads: (B, S, H) to (B, H)."""
    return encoder.once("pooler", lambda: _pooler(encoder, hidden))


def _pooler(encoder: Encoder, hidden: str) -> str:
    operators, config = encoder.operators, encoder.config
    pooled = (
        mean(encoder, hidden, "pooler")
        if config.classifier_pooling == "mean"
        else first_token(encoder, hidden, "pooler")
    )
    if "bert.pooler.norm.weight" in operators.weights:
        return transform(encoder, pooled, "bert.pooler", "gelu", name="pooler")
    pooled = operators.linear(pooled, "bert.pooler.dense", name="pooler/dense")
    return operators.activation(pooled, _POOLER.get(config.model_type, "tanh"), name="pooler/activation")


def transform(encoder: Encoder, rows: str, module: str, activation: str, *, name: str) -> str:
    """A dense layer, an activation and a norm on every row."""
    operators = encoder.operators
    rows = operators.linear(rows, f"{module}.dense", name=f"{name}/dense")
    rows = operators.activation(rows, activation, name=f"{name}/activation")
    return operators.norm(rows, f"{module}.norm", encoder.config.layer_norm_eps, name=f"{name}/norm")


def sentence_embedding(encoder: Encoder, hidden: str, settings: SentenceSettings) -> str:
    """Vectors of texts as the folder's settings say: (B, S, H) to (B, H)."""
    graph = encoder.operators.graph
    if settings.pooling == "pooler":
        vectors = pooler(encoder, hidden)
    elif settings.pooling == "cls":
        vectors = first_token(encoder, hidden, "sentence")
    else:
        vectors = mean(encoder, hidden, "sentence")
    if not settings.normalize:
        return vectors
    length = graph.node("ReduceL2", vectors, name="sentence/ReduceL2", axes=[-1], keepdims=1)
    length = graph.node("Max", length, graph.constant("least_length", 1e-12), name="sentence/Max_length")
    return graph.node("Div", vectors, length, name="sentence/Div_length")


def masked_lm(encoder: Encoder, hidden: str) -> str:
    """Logits of the vocabulary: (..., H) to (..., V)."""
    operators, graph, config = encoder.operators, encoder.operators.graph, encoder.config
    activation = config.hidden_act if config.model_type == "bert" else "gelu"
    rows = transform(encoder, hidden, "masked_lm", activation, name="masked_lm")
    words = graph.node(
        "Transpose", operators.tensor("bert.embeddings.word_embeddings.weight"), name="masked_lm/Transpose"
    )
    product = graph.node("MatMul", rows, words, name="masked_lm/decoder/MatMul")
    return graph.node("Add", product, operators.tensor("masked_lm.bias"), name="masked_lm/decoder/Add")


def of_sequences(encoder: Encoder, hidden: str, module: str) -> str:
    """Logits of a head on what the pooler gives: (B, S, H) to (B, C)."""
    return encoder.operators.linear(pooler(encoder, hidden), module, name=module)


def of_tokens(encoder: Encoder, hidden: str, module: str) -> str:
    """Logits of a head on every token: (B, S, H) to (B, S, C)."""
    if "head.transform.dense.weight" in encoder.operators.weights:
        hidden = transform(encoder, hidden, "head.transform", "gelu", name="head/transform")
    return encoder.operators.linear(hidden, module, name=module)


def replaced_tokens(encoder: Encoder, hidden: str) -> str:
    """Scores that tokens were replaced: (B, S, H) to (B, S, 1)."""
    operators = encoder.operators
    hidden = operators.linear(hidden, "head.dense", name="head/dense")
    hidden = operators.activation(hidden, encoder.config.hidden_act, name="head/activation")
    return operators.linear(hidden, "head.prediction", name="head/prediction")
