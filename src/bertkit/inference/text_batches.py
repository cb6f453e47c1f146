"""Texts through the encoder: chunks of bounded memory, like lengths together, a budget of tokens a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertkit.data.packing import pack, token_budget_batches
from bertkit.foundation.packed_batch import PackedBatch
from bertkit.inference.loaded_model import LoadedModel
from bertkit.model.bert import EncoderOutput
from bertkit.text.encoded_example import EncodedExample

_CHUNK_TEXTS = 8192
"""Texts that are encoded and sorted at once."""
_MAX_TOKENS = {"cpu": 2048, "cuda": 32768}
"""Tokens a batch: as many as fit the processor's cache, or as keep a GPU busy."""


@dataclass(frozen=True)
class TextBatch:
    """The encoder's output for some of the texts; `indices` (B,) says for which."""

    indices: NDArray[np.int64]
    batch: PackedBatch
    output: EncoderOutput


def run_texts(
    model: LoadedModel,
    texts: Sequence[str],
    text_pairs: Sequence[str] | None,
    max_length: int,
    *,
    output_hidden_states: bool = False,
) -> Iterator[TextBatch]:
    """Encode all texts or pairs, cut to `max_length` tokens, each once; the batches come in any order."""
    max_tokens = _MAX_TOKENS.get(model.device.type, _MAX_TOKENS["cpu"])
    for first in range(0, len(texts), _CHUNK_TEXTS):
        chunk = slice(first, first + _CHUNK_TEXTS)
        pairs = None if text_pairs is None else text_pairs[chunk]
        examples: list[EncodedExample] = model.tokenizer.encode_batch(texts[chunk], pairs, max_length=max_length)
        for indices in token_budget_batches([len(example) for example in examples], max_tokens):
            batch = pack([examples[index] for index in indices]).to(model.device)
            output = model.bert(batch, output_hidden_states=output_hidden_states)
            yield TextBatch(first + indices, batch, output)
