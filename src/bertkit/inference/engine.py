"""- LoadedModel; Engine: token budget, streams; what Predictor, evaluation and serving share."""
# B sequences.

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bertkit.core.batch import PackedBatch, pack, token_budget_batches
from bertkit.core.console import note
from bertkit.core.errors import InputError
from bertkit.model.encoder import Encoder, EncoderOutput
from bertkit.model.heads import MaskedLMHead
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.sentence_settings import SentenceSettings
from bertkit.tasks.contract import Task
from bertkit.text.sequences import EncodedExample
from bertkit.text.tokenizer import Tokenizer

_ROUNDED_UP = 128
"""Tables of embeddings are rounded up to at most a multiple of this."""


def check_vocabulary_size(folder: Path, entries: int, rows: int) -> None:
    """Raise `InputError` for a vocabulary with more entries than the model has rows, and say so if it has far fewer."""
    if entries > rows:
        raise InputError(
            f"{folder}: the vocabulary has {entries:,} entries but the model knows {rows:,}: "
            "put the tokenizer files of this model beside it"
        )
    if rows - entries >= _ROUNDED_UP:
        note(
            f"{folder}: the vocabulary has {entries:,} entries but the model knows {rows:,}: "
            "are these the tokenizer files of this model?"
        )


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """An encoder in evaluation mode with its tokenizer and the heads that the folder has."""

    folder: ModelFolder
    device: torch.device
    tokenizer: Tokenizer
    bert: Encoder
    masked_lm: MaskedLMHead | None = None
    task: Task[Any] | None = None
    head: nn.Module | None = None
    """From pooled outputs or from all tokens to the task's logits; there is one where there is a task."""

    def __post_init__(self) -> None:
        check_vocabulary_size(self.path, self.tokenizer.vocab_size, self.bert.config.vocab_size)

    @property
    def path(self) -> Path:
        """Of the folder."""
        return self.folder.path

    @property
    def architecture(self) -> str:
        """Hugging Face's class that the folder was written for."""
        return self.folder.architecture

    @property
    def settings(self) -> SentenceSettings:
        """How texts become vectors, as the folder says or by default."""
        return self.folder.sentences or SentenceSettings()

    def longest(self, max_length: int | None, default: int | None = None) -> int:
        """Tokens that a text is cut to: `max_length`, else `default`, else all that the model has positions for."""
        positions = self.bert.config.max_length
        if max_length is None:
            return positions if default is None else min(default, positions)
        if not 3 <= max_length <= positions:
            raise InputError(f"max_length must lie in 3 to {positions}, the model's positions, got {max_length}")
        return max_length


Item = TypeVar("Item")
Result = TypeVar("Result")


class Streams:
    """Runs a function on items in as many threads as torch uses, each item on one core.

    A core that works on a batch of its own never waits inside an operation for the others, which costs a little on an
    idle machine and most of the time on a busy one (`benchmarks/embedding.py`). Fewer items than threads, and those
    for other devices than the processor, run one after another with every core.
    """

    def __init__(self, device: torch.device) -> None:
        self._count = torch.get_num_threads() if device.type == "cpu" else 1

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """The function's results in the items' order; it runs in inference mode."""

        def run(item: Item) -> Result:
            with torch.inference_mode():
                return function(item)

        if self._count == 1 or len(items) < self._count:
            return map(run, items)
        return self._pool.map(run, items)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        """Threads that use one core each; torch's setting for threads that others start stays as it is."""
        before = torch.get_num_threads()
        started = threading.Barrier(self._count + 1)
        pool = ThreadPoolExecutor(self._count, "bertkit", initializer=torch.set_num_threads, initargs=(1,))
        for _ in range(self._count):
            pool.submit(started.wait)
        started.wait()
        torch.set_num_threads(before)
        return pool


CHUNK_TEXTS = 8192
"""Texts that are encoded and sorted at once."""
_MAX_TOKENS = {"cpu": 2048, "cuda": 32768}
"""Tokens a batch: as many as fit the processor's cache, or as keep a GPU busy."""

Answer = TypeVar("Answer")


def _all_tokens(batch: PackedBatch) -> None:
    return None


def run_texts(
    model: LoadedModel,
    streams: Streams,
    texts: Sequence[str],
    max_length: int,
    answer: Callable[[PackedBatch, EncoderOutput], Answer],
    *,
    read: Callable[[PackedBatch], Tensor | None],
) -> Iterator[tuple[NDArray[np.int64], Answer]]:
    """Encode all texts, cut to `max_length` tokens, and yield what `answer` makes of each batch.

    `read` names the tokens whose last hidden states it is made of, None for all. Beside the answer stand the places
    (B,) of the batch's texts; the batches come in any order.
    """
    for first in range(0, len(texts), CHUNK_TEXTS):
        examples = model.tokenizer.encode_batch(texts[first : first + CHUNK_TEXTS], max_length=max_length)
        for indices, result in run_sequences(model, streams, examples, answer, read=read):
            yield first + indices, result


def run_sequences(
    model: LoadedModel,
    streams: Streams,
    sequences: Sequence[EncodedExample],
    answer: Callable[[PackedBatch, EncoderOutput], Answer],
    *,
    read: Callable[[PackedBatch], Tensor | None] = _all_tokens,
    output_hidden_states: bool = False,
) -> Iterator[tuple[NDArray[np.int64], Answer]]:
    """Yield what `answer` makes of each batch of sequences, with their places (B,); the batches come in any order.

    `read` as in `run_texts`.
    """

    def run(indices: NDArray[np.int64]) -> Answer:
        batch = pack([sequences[index] for index in indices]).to(model.device)
        return answer(batch, model.bert(batch, output_positions=read(batch), output_hidden_states=output_hidden_states))

    max_tokens = _MAX_TOKENS.get(model.device.type, _MAX_TOKENS["cpu"])
    batches = token_budget_batches([len(sequence) for sequence in sequences], max_tokens)
    yield from zip(batches, streams.map(run, batches), strict=True)
