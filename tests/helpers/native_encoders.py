"""Tiny encoders for the native engine, and their forward pass in float64, one sequence at a time."""
# T tokens of a sequence, H hidden, A heads, D head size.

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from bertkit.native.encoder import EncoderShape

_ERF = np.vectorize(math.erf)

BERT = EncoderShape(
    hidden_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=100,
    hidden_act="gelu",
    layer_norm_eps=1e-12,
    max_length=400,
)
ROBERTA = replace(BERT, position_offset=2, hidden_act="gelu_new", num_attention_heads=3)
MODERN = replace(
    BERT,
    layer_norm_eps=1e-5,
    intermediate_size=56,
    pre_norm=True,
    windows=(None, 3, 40),
    thetas=(160_000.0, 10_000.0, 10_000.0),
)
ENTRIES, TYPES = 50, 2


def random_weights(shape: EncoderShape, *, embedding: int | None = None, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights that keep activations near 1; with `embedding` the embeddings are as wide and projected."""
    random = np.random.default_rng(seed)
    hidden, inner, width = shape.hidden_size, shape.intermediate_size, embedding or shape.hidden_size
    weights = {"embeddings.word_embeddings.weight": random.standard_normal((ENTRIES, width))}

    def linear(name: str, outputs: int, inputs: int) -> None:
        weights[f"{name}.weight"] = random.standard_normal((outputs, inputs)) / math.sqrt(inputs)
        if not shape.pre_norm:
            weights[f"{name}.bias"] = random.standard_normal(outputs) / 4

    def norm(name: str, size: int) -> None:
        weights[f"{name}.weight"] = 1 + random.standard_normal(size) / 8
        if not shape.pre_norm:
            weights[f"{name}.bias"] = random.standard_normal(size) / 4

    norm("embeddings.norm", width)
    if not shape.pre_norm:
        rows = shape.max_length + shape.position_offset
        weights["embeddings.position_embeddings.weight"] = random.standard_normal((rows, width))
        weights["embeddings.token_type_embeddings.weight"] = random.standard_normal((TYPES, width))
    if embedding:
        linear("embeddings.projection", hidden, embedding)
    for depth in range(shape.num_hidden_layers):
        name = f"layers.{depth}"
        linear(f"{name}.attention.query_key_value", 3 * hidden, hidden)
        linear(f"{name}.attention.output", hidden, hidden)
        linear(f"{name}.intermediate", inner * (2 if shape.pre_norm else 1), hidden)
        linear(f"{name}.output", hidden, inner)
        if depth or not shape.pre_norm:
            norm(f"{name}.attention_norm", hidden)
        norm(f"{name}.intermediate_norm" if shape.pre_norm else f"{name}.output_norm", hidden)
    if shape.pre_norm:
        norm("final_norm", hidden)
    return {name: weight.astype(np.float32) for name, weight in weights.items()}


@dataclass(frozen=True)
class Float64Encoder:
    """What `NativeEncoder` computes, straight from the papers."""

    shape: EncoderShape
    weights: dict[str, np.ndarray]

    def states(self, ids: np.ndarray, types: np.ndarray) -> list[np.ndarray]:
        """Hidden states (T, H) of one sequence, the embeddings' first."""
        shape = self.shape
        x = self._get("embeddings.word_embeddings.weight")[ids]
        if not shape.pre_norm:
            places = np.arange(len(ids)) + shape.position_offset
            x = x + self._get("embeddings.token_type_embeddings.weight")[types]
            x = x + self._get("embeddings.position_embeddings.weight")[places]
        x = self._norm(x, "embeddings.norm")
        if "embeddings.projection.weight" in self.weights:
            x = self._linear(x, "embeddings.projection")
        states = [x]
        for depth in range(shape.num_hidden_layers):
            name = f"layers.{depth}"
            if shape.pre_norm:
                inner = self._norm(x, f"{name}.attention_norm") if depth else x
                x = x + self._attention(inner, depth)
                expanded, gate = np.split(
                    self._linear(self._norm(x, f"{name}.intermediate_norm"), f"{name}.intermediate"), 2, 1
                )
                x = x + self._linear(self._gelu(expanded) * gate, f"{name}.output")
            else:
                x = self._norm(x + self._attention(x, depth), f"{name}.attention_norm")
                expanded = self._gelu(self._linear(x, f"{name}.intermediate"))
                x = self._norm(x + self._linear(expanded, f"{name}.output"), f"{name}.output_norm")
            states.append(x)
        if shape.pre_norm:
            states[-1] = self._norm(x, "final_norm")
        return states

    def _get(self, name: str) -> np.ndarray:
        return self.weights[name].astype(np.float64)

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        bias = self._get(f"{name}.bias") if f"{name}.bias" in self.weights else 0.0
        return x @ self._get(f"{name}.weight").T + bias

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        scaled = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + self.shape.layer_norm_eps)
        bias = self._get(f"{name}.bias") if f"{name}.bias" in self.weights else 0.0
        return scaled * self._get(f"{name}.weight") + bias

    def _gelu(self, x: np.ndarray) -> np.ndarray:
        if self.shape.hidden_act == "gelu":
            return 0.5 * x * (1 + _ERF(x / math.sqrt(2)))
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    def _attention(self, x: np.ndarray, depth: int) -> np.ndarray:
        shape, name, tokens = self.shape, f"layers.{depth}.attention", len(x)
        heads = self._linear(x, f"{name}.query_key_value").reshape(tokens, 3, shape.num_attention_heads, -1)
        query, key, value = heads.transpose(1, 2, 0, 3)  # (A, T, D) each
        if shape.thetas:
            query, key = self._turn(query, shape.thetas[depth]), self._turn(key, shape.thetas[depth])
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        window = shape.windows[depth] if shape.windows else None
        if window is not None:
            places = np.arange(tokens)
            scores = np.where(np.abs(places[:, None] - places) > window, -np.inf, scores)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        context = shares / shares.sum(-1, keepdims=True) @ value
        return self._linear(context.transpose(1, 0, 2).reshape(tokens, -1), f"{name}.output")

    @staticmethod
    def _turn(rows: np.ndarray, theta: float) -> np.ndarray:
        size = rows.shape[-1]
        angles = np.arange(rows.shape[1])[:, None] * theta ** (-np.arange(0, size, 2) / size)
        first, second = np.split(rows, 2, -1)
        return np.concatenate(
            [first * np.cos(angles) - second * np.sin(angles), second * np.cos(angles) + first * np.sin(angles)], -1
        )


def packed(lengths: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Token ids, types and starts of random sequences."""
    random = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return random.integers(0, ENTRIES, starts[-1]), random.integers(0, TYPES, starts[-1]), starts
