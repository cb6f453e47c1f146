"""From a model folder to one ONNX file: which outputs there are, and the graph that gives them."""
# B sequences, S the longest, H hidden, C outputs of a head, V vocabulary, N chosen places.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from bertkit.core.errors import InputError
from bertkit.core.machine import WeightRange
from bertkit.inference.export import heads
from bertkit.inference.export.encoder import BATCH, SEQUENCE, Encoder
from bertkit.inference.export.graph import OPSET, OPSET_INT8, Graph
from bertkit.inference.export.int8 import Int8Operators
from bertkit.inference.export.names import (
    ATTENTION_MASK,
    END_LOGITS,
    HIDDEN_STATES,
    INPUT_IDS,
    LAST_HIDDEN_STATE,
    LOGITS,
    MASKED_LM_ROWS,
    POOLER_OUTPUT,
    POSITIONS,
    SENTENCE_EMBEDDING,
    START_LOGITS,
    TASK_ROWS,
    TOKEN_TYPE_IDS,
)
from bertkit.inference.export.operators import Operators
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.formats.name_table import MULTIPLE_CHOICE, SEQUENCE_CLASSIFICATION
from bertkit.pretrained.int8 import FULL_RANGE
from bertkit.pretrained.sentence_settings import SentenceSettings

GraphPrecision = Literal["float32", "int8"]

_CHOICES, _PLACES, _TOKENS = "num_choices", "num_positions", "BertForTokenClassification"
_QUESTIONS, _NEXT_SENTENCE, _REPLACED = (
    "BertForQuestionAnswering",
    "BertForNextSentencePrediction",
    "BertForReplacedTokenDetection",
)
_MASKED_LM = ("BertForMaskedLM", "BertForPreTraining")


@dataclass(frozen=True, kw_only=True)
class GraphInfo:
    """What was written: the file, its inputs and outputs in their order, and its bytes."""

    path: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    precision: GraphPrecision
    size: int


def default_outputs(folder: ModelFolder) -> tuple[str, ...]:
    """What other readers look for in a graph of the folder's class.

    Readers of vectors take the first output, or `sentence_embedding` where it is there.
    """
    if folder.architecture == "BertModel":
        return (LAST_HIDDEN_STATE,) if folder.sentences is None else (LAST_HIDDEN_STATE, SENTENCE_EMBEDDING)
    return (START_LOGITS, END_LOGITS) if folder.architecture == _QUESTIONS else (LOGITS,)


def write_graph(
    folder: ModelFolder,
    path: Path,
    *,
    precision: GraphPrecision = "float32",
    outputs: Sequence[str] | None = None,
    weight_range: WeightRange = FULL_RANGE,
) -> GraphInfo:
    """Write the folder's model to the ONNX file `path`, with dynamic numbers of sequences and tokens.

    `outputs` are `default_outputs` unless given; there are further ones for backends:

    - `hidden_state_output(layer)` (B, S, H), `pooler_output` (B, H)
    - `task_rows`: what the task's head gives, (B, C) or for heads of tokens (B, S, C); several choices are sequences
      of their own and not, as for `logits`, an axis of the inputs
    - `masked_lm_rows` (N, V) of the tokens whose places in the batch, row after row, are the further input
      `positions` (N,)

    Inputs are int64 (B, S): `input_ids`, `attention_mask` and, where a model has several types, `token_type_ids`.
    Raises `InputError` for an output that the folder has no head for.
    """
    graph = build_graph(folder, precision=precision, outputs=outputs, weight_range=weight_range)
    graph.write(path)
    return GraphInfo(
        path=path,
        inputs=tuple(each.name for each in graph.inputs),
        outputs=tuple(each.name for each in graph.outputs),
        precision=precision,
        size=path.stat().st_size,
    )


def build_graph(
    folder: ModelFolder,
    *,
    precision: GraphPrecision = "float32",
    outputs: Sequence[str] | None = None,
    weight_range: WeightRange = FULL_RANGE,
) -> Graph:
    """The graph that `write_graph` writes."""
    writer = _Writer(folder, precision, weight_range)
    for name in default_outputs(folder) if outputs is None else outputs:
        writer.add_output(name)
    return writer.graph


class _Writer:
    """A graph to which outputs are added one by one."""

    def __init__(self, folder: ModelFolder, precision: GraphPrecision, weight_range: WeightRange) -> None:
        self.folder, self.config = folder, folder.config
        self.graph = Graph(opset=OPSET if precision == "float32" else OPSET_INT8)
        self.weights = folder.arrays
        self.operators = (
            Operators(self.graph, self.weights)
            if precision == "float32"
            else Int8Operators(
                self.graph, self.weights, folder.int8_weights(), self.config.num_hidden_layers, weight_range
            )
        )
        self._choices = False

    def add_output(self, name: str) -> None:
        """Add an output with all that it needs."""
        if name.startswith(HIDDEN_STATES):
            layer = int(name.removeprefix(HIDDEN_STATES))
            assert self.hidden and layer < len(self.encoder.hidden_states), f"there is no layer {layer}"
            self.graph.output(name, self.encoder.hidden_states[layer], [BATCH, SEQUENCE, self.config.hidden_size])
        elif name in (START_LOGITS, END_LOGITS):
            self.graph.output(name, self._spans[name == END_LOGITS], [BATCH, SEQUENCE])
        else:
            makers: dict[str, Callable[[], tuple[str, list[str | int]]]] = {
                LAST_HIDDEN_STATE: lambda: (self.hidden, [BATCH, SEQUENCE, self.config.hidden_size]),
                SENTENCE_EMBEDDING: self._sentence_embedding,
                POOLER_OUTPUT: self._pooler_output,
                LOGITS: self._logits,
                TASK_ROWS: self._task_rows,
                MASKED_LM_ROWS: self._masked_lm_rows,
            }
            self.graph.output(name, *makers[name]())

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder over the graph's inputs, where several choices are flattened to sequences."""
        axes = [BATCH, _CHOICES, SEQUENCE] if self._choices else [BATCH, SEQUENCE]
        names = [INPUT_IDS, ATTENTION_MASK, *([TOKEN_TYPE_IDS] if self.config.type_vocab_size > 1 else [])]
        values = {name: self.graph.input(name, axes) for name in names}
        if self._choices:
            values = {name: self._flat(value) for name, value in values.items()}
        return Encoder(
            self.operators, self.config, values[INPUT_IDS], values[ATTENTION_MASK], values.get(TOKEN_TYPE_IDS)
        )

    @cached_property
    def hidden(self) -> str:
        """Hidden states of the last layer (B, S, H)."""
        return self.encoder.build()

    def _flat(self, value: str) -> str:
        """(B, choices, S) to (B * choices, S)."""
        graph = self.graph
        if "flat/Concat" not in {node.name for node in graph.nodes}:
            length = graph.length(value, 2, name="flat")
            graph.node("Concat", graph.constant("any", [-1], np.int64), length, name="flat/Concat", axis=0)
        return graph.node("Reshape", value, "flat/Concat", name=f"flat/{value}")

    def _sentence_embedding(self) -> tuple[str, list[str | int]]:
        settings = self.folder.sentences or SentenceSettings()
        if settings.unsupported is not None:
            raise InputError(
                f"{self.folder.path} makes vectors by {settings.unsupported}, which a graph of bertkit's has not: "
                "give the folder of an encoder with mean or cls pooling"
            )
        return heads.sentence_embedding(self.encoder, self.hidden, settings), [BATCH, self.config.hidden_size]

    def _pooler_output(self) -> tuple[str, list[str | int]]:
        return heads.pooler(self.encoder, self.hidden), [BATCH, self.config.hidden_size]

    def _logits(self) -> tuple[str, list[str | int]]:
        architecture, graph = self.folder.architecture, self.graph
        if architecture in _MASKED_LM:
            self.weights.check_tied()
            return heads.masked_lm(self.encoder, self.hidden), [BATCH, SEQUENCE, self.config.vocab_size]
        if architecture == MULTIPLE_CHOICE:
            self._choices = True
            rows, _ = self._task_rows()
            sizes = [graph.length(INPUT_IDS, axis, name=f"choices/{axis}") for axis in (0, 1)]
            shape = graph.node("Concat", *sizes, name="choices/Concat", axis=0)
            return graph.node("Reshape", rows, shape, name="choices/Reshape"), [BATCH, _CHOICES]
        if architecture == _REPLACED:
            rows, _ = self._task_rows()
            return graph.over("Squeeze", rows, 2, name="head/Squeeze"), [BATCH, SEQUENCE]
        return self._task_rows()

    def _task_rows(self) -> tuple[str, list[str | int]]:
        """As the head gives them."""
        architecture, encoder = self.folder.architecture, self.encoder
        if architecture in (SEQUENCE_CLASSIFICATION, MULTIPLE_CHOICE):
            return heads.of_sequences(encoder, self.hidden, "head.dense"), [BATCH, self.folder.description.num_labels]
        if architecture == _NEXT_SENTENCE:
            return heads.of_sequences(encoder, self.hidden, "next_sentence.dense"), [BATCH, 2]
        if architecture == _TOKENS:
            labels = self.folder.description.num_labels
            return heads.of_tokens(encoder, self.hidden, "head.dense"), [BATCH, SEQUENCE, labels]
        if architecture == _QUESTIONS:
            return heads.of_tokens(encoder, self.hidden, "head.qa_outputs"), [BATCH, SEQUENCE, 2]
        if architecture == _REPLACED:
            return heads.replaced_tokens(encoder, self.hidden), [BATCH, SEQUENCE, 1]
        raise InputError(
            f"{self.folder.path} holds {self.folder.description.class_name}, which has no head of a task: "
            "fine-tune it first"
        )

    def _masked_lm_rows(self) -> tuple[str, list[str | int]]:
        graph = self.graph
        if "masked_lm.bias" not in self.weights:
            raise InputError(
                f"{self.folder.path} holds {self.folder.description.class_name}, which has no head that fills in "
                "words: give a model with its masked-LM head"
            )
        self.weights.check_tied()
        flat = graph.constant("rows", [-1, self.config.hidden_size], np.int64)
        rows = graph.node("Reshape", self.hidden, flat, name="masked_lm/Reshape")
        places = graph.input(POSITIONS, [_PLACES])
        rows = graph.node("Gather", rows, places, name="masked_lm/Gather", axis=0)
        return heads.masked_lm(self.encoder, rows), [_PLACES, self.config.vocab_size]

    @cached_property
    def _spans(self) -> list[str]:
        """Scores that an answer starts at a token and that it ends there, each (B, S)."""
        if self.folder.architecture != _QUESTIONS:
            raise InputError(f"{self.folder.path} holds {self.folder.description.class_name}, which finds no answers")
        rows, _ = self._task_rows()
        parts = self.graph.split(rows, 2, name="head/Split")
        return [self.graph.over("Squeeze", part, 2, name=f"{part}/Squeeze") for part in parts]
