"""Vectors of texts or of their tokens."""
# N texts, R rows of vectors (N, or all tokens), F features.

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertkit.foundation.packed_batch import PackedBatch
from bertkit.foundation.ragged import run_positions, run_starts
from bertkit.inference.feature_plan import FeaturePlan
from bertkit.inference.loaded_model import LoadedModel
from bertkit.inference.streams import Streams
from bertkit.inference.text_batches import run_sequences
from bertkit.model.bert import EncoderOutput
from bertkit.text.encoded_example import EncodedExample


@dataclass(frozen=True, slots=True, eq=False)
class TokenFeatures:
    """The n tokens of a text as the model reads them, [CLS] and [SEP] included."""

    tokens: tuple[str, ...]
    offsets: NDArray[np.int32]
    """(n, 2) where each token starts and ends, in characters of the text; (0, 0) for added tokens."""
    vectors: NDArray[np.float32]
    """(n, F)"""


@dataclass(frozen=True, slots=True, eq=False)
class TextFeatures:
    """Vectors of N texts end to end, and the texts as they were read."""

    vectors: NDArray[np.float32]
    """(R, F)"""
    examples: Sequence[EncodedExample]
    is_cut: NDArray[np.bool_]
    """(N,) longer than the plan's `max_length`."""

    def by_text(self, vocabulary: Sequence[str]) -> Iterator[TokenFeatures]:
        """Where every token has a vector, those of each text."""
        stop = 0
        for example in self.examples:
            start, stop = stop, stop + len(example)
            tokens = tuple(vocabulary[token] for token in example.input_ids.tolist())
            yield TokenFeatures(tokens, example.offsets, self.vectors[start:stop])


def extract_features(
    model: LoadedModel,
    streams: Streams,
    texts: Sequence[str],
    plan: FeaturePlan,
    advance: Callable[[int], None] = lambda count: None,
) -> TextFeatures:
    """Encode the texts, all of which memory holds, and carry out `plan`; `advance` is told how many texts are done."""
    pieces = model.tokenizer.pieces(texts)
    room = plan.max_length - 2  # beside [CLS] and [SEP]
    examples = model.tokenizer.join(pieces.cut(room))
    lengths = np.array([len(example) for example in examples], np.int64)
    rows = lengths if plan.is_per_token else np.ones_like(lengths)
    starts = run_starts(rows)
    vectors = np.empty((int(rows.sum()), plan.width), np.float32)

    def answer(batch: PackedBatch, output: EncoderOutput) -> NDArray[np.float32]:
        found: NDArray[np.float32] = plan.vectors(batch, output).cpu().numpy()
        return found

    batches = run_sequences(
        model, streams, examples, answer, read=plan.tokens_read, output_hidden_states=plan.needs_hidden_states
    )
    for indices, found in batches:
        vectors[run_positions(starts[indices], rows[indices])] = found
        advance(len(indices))
    return TextFeatures(vectors, examples, pieces.lengths > room)
