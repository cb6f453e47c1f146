"""Texts through the encoder: chunks of bounded memory, like lengths together, a budget of tokens a batch."""
# B sequences.

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bertkit.data.packing import pack, token_budget_batches
from bertkit.foundation.packed_batch import PackedBatch
from bertkit.inference.loaded_model import LoadedModel
from bertkit.inference.streams import Streams
from bertkit.model.bert import EncoderOutput
from bertkit.text.encoded_example import EncodedExample

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
        return answer(batch, model.bert(batch, read=read(batch), output_hidden_states=output_hidden_states))

    max_tokens = _MAX_TOKENS.get(model.device.type, _MAX_TOKENS["cpu"])
    batches = token_budget_batches([len(sequence) for sequence in sequences], max_tokens)
    yield from zip(batches, streams.map(run, batches), strict=True)
