"""Filling masks, labelling and embedding texts."""
# N texts, T tokens, B sequences, H hidden, M masks, V vocabulary.

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, get_args, overload

import numpy as np
from numpy.typing import NDArray

from bertkit.core.arguments import checked
from bertkit.core.errors import InputError, not_finite
from bertkit.core.packing import PackedArrays
from bertkit.inference.backends.base import MASKED_LM, TASK, HeadLogits, Output, TokensWithId, find_positions
from bertkit.inference.engine import chunks
from bertkit.inference.feature_layers import Layers
from bertkit.inference.features import (
    Combination,
    FeaturePlan,
    FeaturePooling,
    TextFeatures,
    TokenFeatures,
    extract_features,
)
from bertkit.inference.loaded_model import LoadedModel
from bertkit.pretrained.sentence_settings import Pooling
from bertkit.tasks.contract import Task
from bertkit.tasks.examples import Examples
from bertkit.tasks.labelled import checked_texts, shortened
from bertkit.tasks.predictions import Prediction

Filling = tuple[str, float]
"""A vocabulary entry and its probability."""

TaskInput = str | tuple[str, str] | tuple[str, list[str]] | list[str]
"""What a task may take: a text, a pair of texts, a question with choices, or words."""


class Predictor:
    """A loaded model; results come in the texts' order and do not depend on which texts stand beside a text.

    A single text gives a single result, a sequence of texts a sequence. Longer texts are cut to `max_length` tokens,
    special ones counted: by default the folder's own setting, else the number of the model's positions.
    """

    def __init__(self, model: LoadedModel) -> None:
        self.model = model

    @overload
    def fill_mask(  # type: ignore[overload-overlap]  # a string is a sequence of strings, too
        self, texts: str, top_k: int = 5, *, max_length: int | None = None
    ) -> list[list[Filling]]: ...
    @overload
    def fill_mask(
        self, texts: Sequence[str], top_k: int = 5, *, max_length: int | None = None
    ) -> list[list[list[Filling]]]: ...
    @checked
    def fill_mask(
        self, texts: str | Sequence[str], top_k: int = 5, *, max_length: int | None = None
    ) -> list[list[Filling]] | list[list[list[Filling]]]:
        """For every [MASK] of a text the `top_k` most likely entries with their probabilities, the most likely first.

        Raises `InputError` for a text without [MASK] and for a model without a masked-LM head.
        """
        if isinstance(texts, str):
            return self.fill_mask([texts], top_k, max_length=max_length)[0]
        engine, tokenizer = self.model.engine, self.model.tokenizer
        if MASKED_LM not in engine.backend.heads:
            raise InputError(
                f"{self.model.path} holds {self.model.architecture}, which has no masked-LM head: "
                "give a pre-trained model, such as RUN/model of bertkit pretrain"
            )
        if not 1 <= top_k <= tokenizer.vocab_size:
            raise InputError(f"top_k must lie in 1 to {tokenizer.vocab_size}, the vocabulary's size, got {top_k}")
        texts = checked_texts(texts)
        masks = TokensWithId(tokenizer.mask_token_id)

        def best_entries(batch: PackedArrays, output: Output) -> list[list[list[Filling]]]:
            (logits,) = output  # (M, V)
            # A model's table may be longer than its vocabulary.
            broken = np.asarray(~np.isfinite(logits).all(-1))  # refused below, with the text's number
            chances, entries = _most_likely(
                np.where(broken[:, None], np.float32(0), logits)[:, : tokenizer.vocab_size], top_k
            )
            chances[broken] = np.nan
            positions = find_positions(batch, masks)
            assert positions is not None
            owners = np.searchsorted(batch.cu_seqlens, positions, side="right") - 1
            found: list[list[list[Filling]]] = [[] for _ in range(batch.num_sequences)]
            for owner, row, places in zip(owners.tolist(), chances.tolist(), entries.tolist(), strict=True):
                found[owner].append(list(zip(map(tokenizer.id_to_token, places), row, strict=True)))
            return found

        fillings: list[list[list[Filling]]] = [[] for _ in texts]
        longest = self.model.longest(max_length)
        for chunk in chunks(len(texts)):
            sequences = tokenizer.encode_batch(texts[chunk.start : chunk.stop], max_length=longest)
            for places, found in engine.map(sequences, HeadLogits(MASKED_LM, masks), best_entries):
                for place, filled in zip(places, found, strict=True):
                    fillings[chunk[place]] = filled
        for index, filled in enumerate(fillings):
            if not all(math.isfinite(chance) for mask in filled for _, chance in mask):
                raise not_finite(f"text {index}")
            if not filled:
                mask = tokenizer.special_tokens.mask
                where = "is beyond max_length" if mask in texts[index] else "is missing"
                raise InputError(f"text {index}: {mask} {where} in {shortened(texts[index])}: write it for each gap")
        return fillings

    @overload
    def predict(  # type: ignore[overload-overlap]  # a string is a sequence of strings, a pair may be one
        self, texts: str | tuple[str, str] | tuple[str, list[str]], *, max_length: int | None = None
    ) -> Prediction: ...
    @overload
    def predict(self, texts: Sequence[TaskInput], *, max_length: int | None = None) -> list[Prediction]: ...
    @checked
    def predict(
        self, texts: TaskInput | Sequence[TaskInput], *, max_length: int | None = None
    ) -> Prediction | list[Prediction]:
        """Apply the task that the model was fine-tuned on.

        It takes texts or pairs of texts (classification, regression), pairs of a question and a text that may answer
        it, pairs of a question and a list of choices, or texts to be tagged, as strings or as lists of words. Raises
        `InputError` for a model that was not fine-tuned.
        """
        if self.task.is_one(texts):
            return self.predict_examples(self.task.examples([texts]), max_length=max_length)[0]
        return self.predict_examples(self.task.examples(texts), max_length=max_length)

    @property
    def task(self) -> Task[Any]:
        """What the model was fine-tuned on; `InputError` for one that was not."""
        if self.model.task is None:
            raise InputError(
                f"{self.model.path} holds {self.model.architecture}, which labels nothing: "
                "fine-tune it first (bertkit finetune)"
            )
        return self.model.task

    def predict_examples(self, examples: Examples, *, max_length: int | None = None) -> list[Prediction]:
        """Predictions for what `task.read` has read; labels are not looked at."""
        return list(self.predictions(examples, max_length=max_length))

    def predictions(
        self,
        examples: Examples,
        *,
        max_length: int | None = None,
        say: Callable[[str], None] = lambda warning: None,
        advance: Callable[[float], None] = lambda count: None,
    ) -> Iterator[Prediction]:
        """The same, one by one; `say` gets the warnings of encoding, `advance` the number of further examples done."""
        task = replace(self.task, max_length=self.model.longest(max_length, self.task.max_length))
        for numbers in chunks(len(examples)):
            chunk = examples.take(numbers)
            instances = task.encode(chunk, self.model.tokenizer, labelled=False)
            for warning in instances.warnings:
                say(warning)
            share = len(chunk) / len(instances.sequences)
            logits = self.model.engine.rows(
                instances.sequences,
                HeadLogits(TASK),
                instances.sequence_rows,
                advance=partial(_advance, advance, share),
            )
            if task.classes is not None and logits.shape[1] != len(task.classes):
                raise InputError(
                    f"{self.model.path}: the weights have {logits.shape[1]} outputs but config.json names "
                    f"{len(task.classes)} labels: the two files do not belong together"
                )
            instances.check_finite(logits)
            yield from task.decode(logits, instances)

    @checked
    def embed(
        self,
        texts: str | Sequence[str],
        pooling: Pooling | None = None,
        layer: int = -1,
        normalize: bool | None = None,
        *,
        max_length: int | None = None,
    ) -> NDArray[np.float32]:
        """Vectors, float32 (N, H), or (H,) of a single text.

        `layer` counts from 0, the embeddings, or back from -1, the last. `pooling` and `normalize` None follow the
        folder's sentence-transformers settings, and are the mean of all tokens, not normalised, without any.
        """
        if isinstance(texts, str):
            vectors: NDArray[np.float32] = self.embed([texts], pooling, layer, normalize, max_length=max_length)[0]
            return vectors
        plan = self.embedding_plan(pooling, layer, normalize, max_length=max_length)
        return self._text_vectors(checked_texts(texts), plan)

    def embedding_plan(
        self, pooling: Pooling | None, layer: int, normalize: bool | None, *, max_length: int | None
    ) -> FeaturePlan:
        """What `embed` does with these choices; raises `InputError`."""
        settings = self.model.settings
        if pooling is None:
            if settings.unsupported:
                raise InputError(
                    f"{self.model.path} asks for {settings.unsupported}, which bertkit does not compute: "
                    "give pooling mean or cls for the encoder's own vectors"
                )
            pooling = settings.pooling
        _check_pooling(pooling, get_args(Pooling))
        normalize = settings.normalize if normalize is None else normalize
        return FeaturePlan.of(self.model, layers=layer, pooling=pooling, normalize=normalize, max_length=max_length)

    @overload
    def features(
        self,
        texts: str | Sequence[str],
        layers: Layers = ...,
        combine: Combination = ...,
        pooling: Literal["mean", "cls"] = ...,
        *,
        weights: Sequence[float] | None = None,
        max_length: int | None = None,
    ) -> NDArray[np.float32]: ...
    @overload
    def features(  # type: ignore[overload-overlap]  # a string is a sequence of strings, too
        self,
        texts: str,
        layers: Layers = ...,
        combine: Combination = ...,
        *,
        pooling: Literal["tokens"],
        weights: Sequence[float] | None = None,
        max_length: int | None = None,
    ) -> TokenFeatures: ...
    @overload
    def features(
        self,
        texts: Sequence[str],
        layers: Layers = ...,
        combine: Combination = ...,
        *,
        pooling: Literal["tokens"],
        weights: Sequence[float] | None = None,
        max_length: int | None = None,
    ) -> list[TokenFeatures]: ...
    @checked
    def features(
        self,
        texts: str | Sequence[str],
        layers: Layers = (-4, -3, -2, -1),
        combine: Combination = "concat",
        pooling: FeaturePooling = "mean",
        *,
        weights: Sequence[float] | None = None,
        max_length: int | None = None,
    ) -> NDArray[np.float32] | TokenFeatures | list[TokenFeatures]:
        """Hidden states of `layers`, end to end or added up: float32 (N, F), or (F,) of a single text.

        Layers count from 0, the embeddings, or back from -1, the last; `embeddings`, `last` and `all` (from 1 on) are
        names. `combine` "weighted" needs `weights`, one a layer. `pooling` "mean" is over all tokens with the special
        ones, "cls" takes [CLS], and "tokens" gives `TokenFeatures` of every text.
        """
        _check_pooling(pooling, get_args(FeaturePooling))
        plan = FeaturePlan.of(
            self.model, layers=layers, combination=combine, weights=weights, pooling=pooling, max_length=max_length
        )
        single = isinstance(texts, str)
        texts = checked_texts([texts] if isinstance(texts, str) else texts)
        if plan.is_per_token:
            vocabulary = self.model.tokenizer.subwords.vocabulary
            found = [one for _, part in self._feature_chunks(texts, plan) for one in part.by_text(vocabulary)]
            return found[0] if single else found
        vectors = self._text_vectors(texts, plan)
        return vectors[0] if single else vectors

    def _text_vectors(self, texts: Sequence[str], plan: FeaturePlan) -> NDArray[np.float32]:
        """One row a text, (N, F)."""
        vectors = np.empty((len(texts), plan.width), np.float32)
        for chunk, features in self._feature_chunks(texts, plan):
            vectors[chunk.start : chunk.stop] = features.vectors
        return vectors

    def _feature_chunks(self, texts: Sequence[str], plan: FeaturePlan) -> Iterator[tuple[range, TextFeatures]]:
        """The features of a chunk of texts, with their numbers."""
        for chunk in chunks(len(texts)):
            yield chunk, extract_features(self.model, texts[chunk.start : chunk.stop], plan)


def _most_likely(logits: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The probabilities and places of the `count` highest logits of each row, the highest first, of equals the first.

    (M, V) to twice (M, count).
    """
    # The last of the best decides which others come in question: few, and only they are sorted.
    least = np.partition(logits, -count, axis=-1)[:, -count]
    best = np.empty((len(logits), count), np.int64)
    for number, row in enumerate(logits):
        candidates = np.flatnonzero(row >= least[number])
        best[number] = candidates[np.argsort(-row[candidates], kind="stable")[:count]]
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    chances = np.take_along_axis(shifted, best, -1) / shifted.sum(-1, keepdims=True)
    return chances, best


def _advance(advance: Callable[[float], None], share: float, count: int) -> None:
    advance(share * count)


def _check_pooling(pooling: str, known: Sequence[str]) -> None:
    if pooling not in known:
        raise InputError(f"pooling {pooling!r} is unknown: use one of {', '.join(known)}")
