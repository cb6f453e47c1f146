"""The encoder of every architecture as a graph over padded batches: embeddings, masks, rotary positions, layers."""
# B sequences, S the longest, H hidden, E embedding, A heads, D head size, I intermediate.

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from bertkit.inference.export.operators import Operators
from bertkit.model.config import BertConfig, ModernBertConfig

_MINIMUM = -10_000.0
"""Added to a score, it leaves nothing of it in float32; the number is BERT's own, by which fusions know a mask."""
BATCH, SEQUENCE = "batch_size", "sequence_length"
"""Names of the dynamic axes."""


@dataclass
class Encoder:
    """Adds an encoder's nodes; `hidden_states` are the names of the embeddings and of what every layer gives."""

    operators: Operators
    config: BertConfig
    input_ids: str
    """(B, S) int64."""
    attention_mask: str
    """(B, S) int64, 1 for tokens."""
    token_type_ids: str | None
    """(B, S) int64, None where there is one type of tokens or none."""
    hidden_states: list[str] = field(default_factory=list)
    """Each (B, S, H)."""

    def build(self) -> str:
        """Add everything up to the last layer's hidden states (B, S, H), which it returns."""
        hidden = self._embeddings()
        self.hidden_states.append(hidden)
        layer = self._modern_layer if isinstance(self.config, ModernBertConfig) else self._bert_layer
        for depth in range(self.config.num_hidden_layers):
            hidden = layer(hidden, depth)
            self.hidden_states.append(hidden)
        if "bert.final_norm.weight" in self.operators.weights:
            hidden = self._norm(hidden, "bert.final_norm", "final_norm")
            self.hidden_states[-1] = hidden
        return hidden

    def once(self, name: str, make: Callable[[], str]) -> str:
        """A value that several nodes read, made for the first of them."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def mask_as_float(self) -> str:
        """The attention mask (B, S, 1), 1 for tokens."""
        return self.once("mask/column", self._mask_column)

    _made: dict[str, str] = field(default_factory=dict)
    """Values that several nodes read."""

    def _embeddings(self) -> str:
        operators, graph, place = self.operators, self.operators.graph, "bert.embeddings"
        weights = operators.weights
        summed = graph.node(
            "Gather", operators.tensor(f"{place}.word_embeddings.weight"), self.input_ids, name="embeddings/words"
        )
        if self.token_type_ids is not None:
            types = operators.tensor(f"{place}.token_type_embeddings.weight")
            types = graph.node("Gather", types, self.token_type_ids, name="embeddings/types")
            summed = graph.node("Add", summed, types, name="embeddings/Add_types")
        if f"{place}.position_embeddings.weight" in weights:
            rows, width = weights.shape(f"{place}.position_embeddings.weight")
            table = graph.lazy(f"{place}.positions", (rows - self.config.position_offset, width), self._positions)
            positions = self._first_rows(table, "embeddings/positions")
            summed = graph.node("Add", summed, positions, name="embeddings/Add_positions")
            graph.shape(summed, [BATCH, SEQUENCE, width])
        hidden = self._norm(summed, f"{place}.norm", "embeddings/norm")
        if f"{place}.projection.weight" in weights:
            hidden = operators.linear(hidden, f"{place}.projection", name="embeddings/projection")
        return hidden

    def _positions(self) -> NDArray[np.float32]:
        """The table from the first token's row on, and the only token type in it where there is one."""
        table = self.operators.weights.read("bert.embeddings.position_embeddings.weight")[self.config.position_offset :]
        if self.token_type_ids is None and self.config.type_vocab_size:
            table = table + self.operators.weights.read("bert.embeddings.token_type_embeddings.weight")[0]
        return table

    def _first_rows(self, table: str, name: str) -> str:
        """As many rows of a table as the batch is long: (S, width)."""
        graph = self.operators.graph
        start, axis = graph.constant("zero", [0], np.int64), graph.constant("axis_0", [0], np.int64)
        return graph.node("Slice", table, start, self._length(), axis, name=f"{name}/Slice")

    def _length(self) -> str:
        """S, int64 (1,)."""
        return self.once("length", lambda: self.operators.graph.length(self.input_ids, 1, name="length"))

    def _norm(self, rows: str, module: str, name: str) -> str:
        return self.operators.norm(rows, module, self.config.layer_norm_eps, name=name)

    def _bert_layer(self, hidden: str, depth: int) -> str:
        operators, graph = self.operators, self.operators.graph
        place, name = f"bert.layers.{depth}", f"layer.{depth}"
        attended = self._attention(hidden, depth)
        attended = graph.node("Add", attended, hidden, name=f"{name}/attention/Add_residual")
        hidden = self._norm(attended, f"{place}.attention_norm", f"{name}/attention/norm")
        expanded = operators.linear(hidden, f"{place}.intermediate", name=f"{name}/intermediate")
        expanded = operators.activation(expanded, self.config.hidden_act, name=f"{name}/activation")
        output = operators.linear(expanded, f"{place}.output", name=f"{name}/output")
        output = graph.node("Add", output, hidden, name=f"{name}/Add_residual")
        return self._norm(output, f"{place}.output_norm", f"{name}/norm")

    def _modern_layer(self, hidden: str, depth: int) -> str:
        operators, graph = self.operators, self.operators.graph
        place, name = f"bert.layers.{depth}", f"layer.{depth}"
        normed = self._norm(hidden, f"{place}.attention_norm", f"{name}/attention/norm") if depth else hidden
        attended = self._attention(normed, depth)
        hidden = graph.node("Add", hidden, attended, name=f"{name}/attention/Add_residual")
        normed = self._norm(hidden, f"{place}.intermediate_norm", f"{name}/norm")
        expanded, gate = (
            operators.linear(normed, f"{place}.intermediate", name=f"{name}/{part}", part=(index, 2))
            for index, part in enumerate(("intermediate", "gate"))
        )
        expanded = operators.activation(expanded, self.config.hidden_act, name=f"{name}/activation")
        gated = graph.node("Mul", expanded, gate, name=f"{name}/Mul_gate")
        output = operators.linear(gated, f"{place}.output", name=f"{name}/output")
        return graph.node("Add", hidden, output, name=f"{name}/Add_residual")

    def _attention(self, hidden: str, depth: int) -> str:
        """(B, S, H) to (B, S, H), without what is added to it."""
        operators, graph, config = self.operators, self.operators.graph, self.config
        place, name = f"bert.layers.{depth}.attention", f"layer.{depth}/attention"
        window, heads, size = config.window(depth), config.num_attention_heads, config.head_size
        query, key, value = operators.heads(hidden, f"{place}.query_key_value", heads, size, name=name)
        if isinstance(config, ModernBertConfig):
            query, key = self._turned(query, window), self._turned(key, window)
        key = graph.node("Transpose", key, name=f"{name}/key/Transpose_scores", perm=[0, 1, 3, 2])
        scores = graph.node("MatMul", query, key, name=f"{name}/scores/MatMul")
        root = graph.constant("root_head_size", math.sqrt(config.head_size))
        scores = graph.node("Div", scores, root, name=f"{name}/scores/Div")
        scores = graph.node("Add", scores, self._mask(window), name=f"{name}/scores/Add_mask")
        shares = graph.node("Softmax", scores, name=f"{name}/Softmax", axis=3)
        context = graph.node("MatMul", shares, value, name=f"{name}/context/MatMul")
        context = graph.node("Transpose", context, name=f"{name}/context/Transpose", perm=[0, 2, 1, 3])
        width = graph.constant("width", [0, 0, config.hidden_size], np.int64)
        context = graph.node("Reshape", context, width, name=f"{name}/context/Reshape")
        return operators.linear(context, f"{place}.output", name=f"{name}/output")

    def _mask(self, window: int | None) -> str:
        """What is added to the scores: (B, 1, 1, S), or (B, 1, S, S) where tokens see a window."""
        if window is None:
            return self.once("mask", self._token_mask)
        return self.once("mask/window", lambda: self._window_mask(window))

    def _mask_column(self) -> str:
        graph = self.operators.graph
        column = graph.over("Unsqueeze", self.attention_mask, 2, name="mask/Unsqueeze_last")
        return graph.node("Cast", column, name="mask/Cast_column", to=TensorProto.FLOAT)

    def _mask_row(self) -> str:
        """The attention mask (B, 1, 1, S)."""
        graph = self.operators.graph
        row = graph.over("Unsqueeze", self.attention_mask, 1, name="mask/Unsqueeze_1")
        return graph.over("Unsqueeze", row, 2, name="mask/Unsqueeze_2")

    def _token_mask(self) -> str:
        graph = self.operators.graph
        kept = graph.node("Cast", self.once("mask/row", self._mask_row), name="mask/Cast", to=TensorProto.FLOAT)
        hidden = graph.node("Sub", graph.constant("one", 1.0), kept, name="mask/Sub")
        return graph.node("Mul", hidden, graph.constant("minimum", _MINIMUM), name="mask/Mul")

    def _window_mask(self, window: int) -> str:
        graph = self.operators.graph
        first, step = graph.constant("start", 0, np.int64), graph.constant("step", 1, np.int64)
        length = graph.over("Squeeze", self._length(), 0, name="mask/Squeeze")
        places = graph.node("Range", first, length, step, name="mask/Range")
        column = graph.over("Unsqueeze", places, 1, name="mask/Unsqueeze_places")
        distance = graph.node("Abs", graph.node("Sub", column, places, name="mask/Sub_places"), name="mask/Abs")
        limit = graph.constant("window", window, np.int64)
        near = graph.node("LessOrEqual", distance, limit, name="mask/LessOrEqual")
        token = graph.node("Cast", self.once("mask/row", self._mask_row), name="mask/Cast_bool", to=TensorProto.BOOL)
        seen = graph.node("And", near, token, name="mask/And")
        nothing, minimum = graph.constant("nothing", 0.0), graph.constant("minimum", _MINIMUM)
        return graph.node("Where", seen, nothing, minimum, name="mask/Where")

    def _turned(self, rows: str, window: int | None) -> str:
        """Queries or keys (B, A, S, D) turned by their positions: dimension i goes with i + D / 2."""
        graph = self.operators.graph
        cosines, sines = self._rotation(window)
        first, second = graph.split(rows, 2, name=f"{rows}/Split")
        halves = [
            graph.node(
                kind,
                graph.node("Mul", one, cosines, name=f"{rows}/Mul_cosines_{half}"),
                graph.node("Mul", other, sines, name=f"{rows}/Mul_sines_{half}"),
                name=f"{rows}/{kind}_{half}",
            )
            for half, (kind, one, other) in enumerate((("Sub", first, second), ("Add", second, first)))
        ]
        return graph.node("Concat", *halves, name=f"{rows}/Concat", axis=-1)

    def _rotation(self, window: int | None) -> tuple[str, str]:
        """Cosines and sines (S, D / 2) of a layer with this window."""
        config = self.config
        assert isinstance(config, ModernBertConfig)
        kind, theta = ("global", config.global_rope_theta) if window is None else ("local", config.local_rope_theta)

        def angles() -> NDArray[np.float32]:
            exponents = np.arange(0, config.head_size, 2, dtype=np.float32) / np.float32(config.head_size)
            frequencies = np.float32(1) / np.float32(theta) ** exponents
            return np.arange(config.max_position_embeddings, dtype=np.float32)[:, None] * frequencies

        shape = (config.max_position_embeddings, config.head_size // 2)

        def table(what: str, curve: np.ufunc) -> str:
            whole = self.operators.graph.lazy(f"rotation.{kind}.{what}", shape, lambda: curve(angles()))
            return self._first_rows(whole, f"rotation/{kind}/{what}")

        cosines = self.once(f"rotation/{kind}/cosines", lambda: table("cosines", np.cos))
        return cosines, self.once(f"rotation/{kind}/sines", lambda: table("sines", np.sin))
