"""The backend that runs bertkit's own C engine on an x86-64 CPU, without torch."""
# T tokens, B sequences, R tokens that are read, H hidden, C outputs of a head, V vocabulary.

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bertkit.core.errors import InputError
from bertkit.core.machine import InferencePrecision, default_threads
from bertkit.core.packing import PackedArrays
from bertkit.inference.backends.base import (
    MASKED_LM,
    HeadLogits,
    Output,
    PooledStates,
    SequenceStates,
    TokenStates,
    Want,
    find_positions,
)
from bertkit.inference.backends.table import BackendOptions, heads_of
from bertkit.model.config import REPLACED_TOKEN_DETECTION, BertConfig, ModernBertConfig
from bertkit.native.encoder import EncoderShape, NativeEncoder, Wanted
from bertkit.native.library import Kind, find_isa, has_kind
from bertkit.native.linear import Floats, Int8Weights, PackedLinear
from bertkit.pretrained.arrays import encoder_shapes
from bertkit.pretrained.folder import ModelFolder
from bertkit.tasks.task_folder import has_task

Rows = Callable[[Floats, int], Floats]
"""From rows (R, H) and a number of threads to rows."""

_MAX_TOKENS = 512
"""Of a batch on one core: products gain nothing from more rows, and what the layers hand on stays in the cache."""
_TOKEN_HEADS = ("BertForTokenClassification", "BertForQuestionAnswering", REPLACED_TOKEN_DETECTION)
_POOLER_ACTIVATIONS = {"distilbert": "relu", "electra": "gelu"}
"""Other than BERT's tanh."""


class Native:
    """A folder's encoder packed for this CPU, and the heads that it has, in float32."""

    name = "native"
    device = "cpu"
    is_padded = False
    max_tokens = _MAX_TOKENS

    def __init__(
        self,
        folder: ModelFolder,
        precision: InferencePrecision = "auto",
        *,
        threads: int | None = None,
        isa: str | None = None,
    ) -> None:
        """Read and pack the weights; `threads` None are all cores, `isa` None the CPU's best level of instructions.

        Raises `InputError` where there is no engine for this machine, or the CPU lacks the precision.
        """
        kind: Kind = "bf16" if has_kind("bf16", find_isa(isa)) else "float32"
        if folder.int8 is not None:
            kind = "int8"
        if precision != "auto":
            kind = precision
        self._folder, self._config, self._arrays = folder, folder.config, folder.arrays
        weights = _EncoderArrays(folder)
        stored = weights.stored if kind == "int8" else {}
        self._encoder = NativeEncoder(_shape(self._config), weights, kind, stored=stored, isa=isa)
        self._threads, self._stream = threads or default_threads(), threading.local()
        self._reads_tokens = folder.architecture in _TOKEN_HEADS
        self._masked_lm: Rows | None = None
        if has_task(folder):
            self._pooler = None if self._reads_tokens else self._read_pooler()
            self._head = self._read_head()
        else:
            self._pooler = self._read_pooler() if folder.has_pooler else None
            if folder.holds("masked_lm.bias"):
                self._arrays.check_tied()

    @classmethod
    def obstacle(cls, folder: ModelFolder, options: BackendOptions) -> str | None:
        """An engine that was not compiled, another device, or a precision that the CPU lacks."""
        if options.device != "cpu":
            return f"the backend native runs on the CPU, not on {options.device}: leave out the device or take torch"
        try:
            isa = find_isa()
        except InputError as error:
            return str(error)
        if not has_kind(options.precision, isa):
            return f"this CPU has no instructions for {options.precision}: take float32, or another backend"
        return None

    @classmethod
    def open(cls, folder: ModelFolder, options: BackendOptions) -> Native:
        """Read and pack the weights."""
        return cls(folder, options.precision, threads=options.threads)

    @property
    def precision(self) -> str:
        """Of the encoder's matrices; heads are float32."""
        return self._encoder.kind

    @property
    def streams(self) -> int:
        """One for each thread."""
        return self._threads

    @property
    def layers(self) -> range:
        """All."""
        return range(self._config.num_hidden_layers + 1)

    @property
    def has_pooler(self) -> bool:
        """Whether the encoder has one."""
        return self._pooler is not None

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """The folder's."""
        return heads_of(self._folder)

    def start_stream(self) -> None:
        """Use one core in the calling thread."""
        self._stream.threads = 1

    def run(self, batch: PackedArrays, want: Want) -> Output:
        """One call of the engine; the last layer computes no other tokens than those that are read."""
        last = self._config.num_hidden_layers
        match want:
            case PooledStates():
                return (self._pooled(batch),)
            case SequenceStates(layers, pooling):
                return self._encode(batch, *(Wanted(layer, pooling) for layer in layers))
            case TokenStates(layers, "all"):
                return self._encode(batch, *(Wanted(layer) for layer in layers))
            case TokenStates(layers, positions):
                chosen = find_positions(batch, positions)
                return self._encode(batch, *(Wanted(layer, "chosen") for layer in layers), chosen=chosen)
            case HeadLogits("masked_lm", positions):
                (states,) = self.run(batch, TokenStates((last,), positions))
                return (self._masked_lm_logits(states),)
            case HeadLogits():
                states = self._encode(batch, Wanted(last))[0] if self._reads_tokens else self._pooled(batch)
                return (self._head(states, self._current_threads),)

    @property
    def _current_threads(self) -> int:
        return getattr(self._stream, "threads", self._threads)

    def _encode(self, batch: PackedArrays, *wanted: Wanted, chosen: NDArray[np.int64] | None = None) -> Output:
        return self._encoder.run(
            batch.input_ids,
            batch.token_type_ids,
            batch.cu_seqlens,
            wanted,
            chosen=chosen,
            threads=self._current_threads,
        )

    def _pooled(self, batch: PackedArrays) -> Floats:
        assert self._pooler is not None, "this encoder has no pooler"
        last = self._config.num_hidden_layers
        (rows,) = self._encode(batch, Wanted(last, "mean" if self._config.classifier_pooling == "mean" else "first"))
        return self._pooler(rows, self._current_threads)

    def _masked_lm_logits(self, states: Floats) -> Floats:
        assert MASKED_LM in self.heads, "there is no masked-LM head"
        if self._masked_lm is None:  # made when it is first asked for: its matrix is the largest of the model
            # Both ends of the transform are exact in every architecture but BERT, whose GELU is that of its layers.
            act = self._config.hidden_act if self._config.model_type == "bert" else "gelu"
            transform = self._transform("masked_lm", act)
            bias = self._read("masked_lm.bias", (self._config.vocab_size,))
            decoder = self._encoder.linear(self._arrays.read("bert.embeddings.word_embeddings.weight"), bias)
            self._masked_lm = lambda rows, threads: decoder(transform(rows, threads), threads)
        return self._masked_lm(states, self._current_threads)

    def _read(self, name: str, shape: tuple[int, ...]) -> Floats:
        return self._arrays.read(name, shape)

    def _dense(self, name: str, outputs: int, activation: str | None = None) -> PackedLinear:
        weight = self._read(f"{name}.weight", (outputs, self._config.hidden_size))
        has_bias = f"{name}.bias" in self._arrays
        bias = self._read(f"{name}.bias", (outputs,)) if has_bias else None
        return self._encoder.linear(weight, bias, activation)

    def _transform(self, name: str, activation: str) -> Rows:
        """A dense layer, an activation and a norm."""
        width = self._config.embedding_size if name == "masked_lm" else self._config.hidden_size
        dense = self._dense(f"{name}.dense", width, activation)
        has_bias = f"{name}.norm.bias" in self._arrays
        norm = self._encoder.norm(
            self._read(f"{name}.norm.weight", (width,)),
            self._read(f"{name}.norm.bias", (width,)) if has_bias else None,
        )
        return lambda rows, threads: norm(dense(rows, threads))

    def _read_pooler(self) -> Rows:
        config = self._config
        if isinstance(config, ModernBertConfig):
            return self._transform("bert.pooler", "gelu")
        activation = _POOLER_ACTIVATIONS.get(config.model_type)
        dense = self._dense("bert.pooler.dense", config.hidden_size, activation)
        return dense if activation else lambda rows, threads: np.tanh(dense(rows, threads))

    def _read_head(self) -> Rows:
        architecture = self._folder.architecture
        if architecture == REPLACED_TOKEN_DETECTION:
            dense = self._dense("head.dense", self._config.hidden_size, self._config.hidden_act)
            prediction = self._dense("head.prediction", 1)
            return lambda rows, threads: prediction(dense(rows, threads), threads)
        name = "head.qa_outputs" if architecture == "BertForQuestionAnswering" else "head.dense"
        (outputs, _) = self._arrays.shape(f"{name}.weight")
        last = self._dense(name, outputs)
        if not (self._reads_tokens and isinstance(self._config, ModernBertConfig)):
            return last
        transform = self._transform("head.transform", "gelu")
        return lambda rows, threads: last(transform(rows, threads), threads)


def _shape(config: BertConfig) -> EncoderShape:
    modern, depths = isinstance(config, ModernBertConfig), range(config.num_hidden_layers)
    windows = tuple(config.window(depth) for depth in depths)
    thetas: tuple[float, ...] = ()
    if isinstance(config, ModernBertConfig):
        thetas = tuple(config.local_rope_theta if window else config.global_rope_theta for window in windows)
    return EncoderShape(
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        intermediate_size=config.intermediate_size,
        hidden_act=config.hidden_act,
        layer_norm_eps=config.layer_norm_eps,
        max_length=config.max_length,
        position_offset=config.position_offset,
        pre_norm=modern,
        windows=windows,
        thetas=thetas,
    )


class _EncoderArrays(Mapping[str, NDArray[np.float32]]):
    """The tensors that an encoder of the folder's architecture has; all of them must be there."""

    def __init__(self, folder: ModelFolder) -> None:
        self._folder, self._shapes = folder, dict(encoder_shapes(folder.config))

    def __getitem__(self, name: str) -> Floats:
        return self._folder.arrays.read(f"bert.{name}", self._shapes[name])

    def __contains__(self, name: object) -> bool:
        return name in self._shapes

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    @property
    def stored(self) -> dict[str, Int8Weights]:
        """The int8 matrices of an int8 folder, by the encoder's names of layers."""
        found = {}
        for name, weight in self._folder.int8_weights().items():
            short = name.removeprefix("bert.")
            if weight.values.shape != self._shapes[f"{short}.weight"]:
                raise InputError(
                    f"{self._folder.weights}: {name} has shape {weight.values.shape} but config.json asks for "
                    f"{self._shapes[f'{short}.weight']}: the two files do not belong together"
                )
            found[short] = Int8Weights(weight.values, weight.scales)
        return found
