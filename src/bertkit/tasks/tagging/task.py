"""A tag for every word of a text; entities are tags in IOB2."""
# N sentences, T tokens, C tags.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from bertkit.core.arrays import Float, softmax
from bertkit.core.errors import InputError
from bertkit.core.lazy import lazy_module
from bertkit.data.readers.tables import TableSource
from bertkit.model.config import BertConfig
from bertkit.tasks.contract import IGNORED, PLAIN, Definition, LossShape, Scorer, Task, TaskInstances
from bertkit.tasks.labelled import shortened
from bertkit.tasks.options import Columns, Context
from bertkit.tasks.predictions import EntitySpan, Prediction, TagsPrediction
from bertkit.tasks.tagging.files import Sentence, Sentences, is_column_file, joined, read_sentences
from bertkit.tasks.tagging.iob import OUTSIDE, entities, entity_scores, is_entity_tags, to_iob2
from bertkit.tasks.tagging.windows import encode_sentences
from bertkit.text.plain_text import split_words
from bertkit.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from bertkit.model import architectures as heads
else:
    torch = lazy_module("torch")
    heads = lazy_module("bertkit.model.architectures")


_ENTITY_METRICS = ("f1", "precision", "recall", "accuracy")


@dataclass(frozen=True, kw_only=True)
class Tagging(Task[Sentences]):
    """Cross-entropy of the tag at each word's first piece (Devlin et al. 2019, section 5.3).

    `classes` are the tags in the order of the outputs; where they are `O` and prefixes with types they mean entities.
    """

    kind = "tagging"
    architecture = "BertForTokenClassification"
    known_metrics = _ENTITY_METRICS
    known_loss_options = ("label_smoothing", "class_weights")
    reads_tokens = True
    usual_columns = Columns(text="text", label="spans")
    known_columns = ("text", "label")
    known_options = ("context",)

    classes: tuple[str, ...]
    metric_names: tuple[str, ...] = _ENTITY_METRICS
    context: Context = "sentence"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.classes) < 2:
            raise InputError(f"tagging needs at least 2 tags, there is only {', '.join(self.classes)!r}")
        if not is_entity_tags(self.classes) and self.metric_names != ("accuracy",):
            raise InputError("these tags are no entities: measure accuracy, or write them as B-TYPE, I-TYPE and O")

    @classmethod
    def read(
        cls,
        source: TableSource,
        columns: Columns,
        *,
        split: str = "train",
        where: tuple[str, str] | None = None,
        labelled: bool = True,
    ) -> Sentences:
        """Read column files or tables; see `read_sentences`."""
        return read_sentences(source, columns, split=split, where=where, labelled=labelled)

    @classmethod
    def has_own_layout(cls, path: Path) -> bool:
        """CoNLL's columns."""
        return is_column_file(path)

    @classmethod
    def define(cls, train: Sentences, given: Definition) -> Self:
        """The tags are those of the training words, entities with both their prefixes."""
        tags = {tag for sentence in train.items for tag in sentence.tags or ()}
        if not is_entity_tags(tags):
            return cls.of(given, classes=tuple(sorted(tags)), metric_names=given.metric_names or ("accuracy",))
        types = sorted({tag[1:] for tag in tags if tag != OUTSIDE})
        return cls.of(given, classes=(OUTSIDE, *(prefix + name for name in types for prefix in "BI")))

    @classmethod
    def restore(cls, description: Mapping[str, Any], classes: tuple[str, ...] | None) -> Self:
        """The task of a `task.json`; without one, labels that mean no entities are measured as tags."""
        if "metrics" not in description and classes is not None and not is_entity_tags(classes):
            description = {**description, "metrics": ["accuracy"]}
        return super().restore(description, classes)

    @property
    def summary(self) -> str:
        """Their number."""
        return f"{len(self.classes)} tags"

    def head(self, config: BertConfig) -> nn.Module:
        """Dropout and a linear layer on every token."""
        return heads.token_head(config, len(self.classes))

    def examples(self, given: Sequence[Any]) -> Sentences:
        """Texts, or lists of words."""
        return Sentences(tuple(_sentence(one, f"text {index}") for index, one in enumerate(given)))

    def encode(self, examples: Sentences, tokenizer: Tokenizer, *, labelled: bool = True) -> TaskInstances[Sentences]:
        """Sentences, or windows of them; targets (T,)."""
        return encode_sentences(
            examples,
            tokenizer,
            {tag: place for place, tag in enumerate(self.classes)},
            max_length=self.max_length,
            context=self.context,
            labelled=labelled,
        )

    def loss(self, logits: Tensor, targets: Tensor, bounds: Tensor, shape: LossShape = PLAIN) -> Tensor:
        """Cross-entropy of the words, summed."""
        return torch.nn.functional.cross_entropy(
            logits.float(),
            targets,
            weight=shape.class_weights,
            ignore_index=IGNORED,
            label_smoothing=shape.label_smoothing,
            reduction="sum",
        )

    def count(self, targets: Tensor) -> int:
        """Words."""
        return int((targets != IGNORED).sum())

    def decode(self, logits: NDArray[np.float32], instances: TaskInstances[Sentences]) -> list[Prediction]:
        """The likeliest tag of each word, and the entities that they mean."""
        rows = softmax(self.word_logits(logits, instances))
        places = rows.argmax(-1)
        chances = np.take_along_axis(rows, places[:, None], -1)[:, 0]
        means_entities = self.means_entities
        predictions: list[Prediction] = []
        first = 0
        for sentence in instances.examples.items:
            last = first + len(sentence.spans)
            tags = tuple(self.classes[place] for place in places[first:last].tolist())
            predictions.append(_prediction(sentence, tags, chances[first:last].tolist(), means_entities))
            first = last
        return predictions

    @property
    def scorer(self) -> Scorer[Tagging]:
        """By words and, where tags mean them, by entities."""
        return _TagScorer(self)

    def groups(self, examples: Sentences) -> Sequence[int]:
        """The documents."""
        documents = {
            key: number for number, key in enumerate(dict.fromkeys(id(item.document) for item in examples.items))
        }
        return [documents[id(item.document)] for item in examples.items]

    @property
    def means_entities(self) -> bool:
        """Whether tags are `O` and prefixes with types."""
        return is_entity_tags(self.classes)

    def word_logits(self, logits: NDArray[Float], instances: TaskInstances[Sentences]) -> NDArray[Float]:
        """Logits of all words' first pieces, in the words' order."""
        assert instances.scored is not None
        return logits[np.flatnonzero(instances.scored)]


class _TagScorer(Scorer[Tagging]):
    def figures(self, logits: Tensor, instances: TaskInstances[Any]) -> dict[str, float]:
        task = self.task
        places = task.word_logits(logits.numpy(), instances).argmax(-1).tolist()
        gold = [sentence.tags or () for sentence in instances.examples.items]
        found: list[list[str]] = []
        first = 0
        for tags in gold:
            found.append([task.classes[place] for place in places[first : first + len(tags)]])
            first += len(tags)
        right = sum(
            ours == theirs
            for one, other in zip(found, gold, strict=True)
            for ours, theirs in zip(one, other, strict=True)
        )
        figures = {"accuracy": right / max(1, len(places))}
        return figures | entity_scores(found, gold) if task.means_entities else figures


def _sentence(given: Any, place: str) -> Sentence:
    if isinstance(given, str):
        return Sentence.of_text(given, split_words(given), None, place)
    if isinstance(given, list | tuple) and all(isinstance(word, str) for word in given):
        text, spans = joined(tuple(given))
        return Sentence.of_text(text, spans, None, place)
    raise InputError(f"{place} is {shortened(given)}: give a string, or a list of words")


def _prediction(
    sentence: Sentence, tags: tuple[str, ...], chances: Sequence[float], means_entities: bool
) -> TagsPrediction:
    if not means_entities:
        return TagsPrediction(sentence.words, tags, tuple(chances), ())
    found = []
    for entity in entities(tags):
        start, end = sentence.spans[entity.first][0], sentence.spans[entity.last - 1][1]
        chance = float(np.prod(chances[entity.first : entity.last]))
        found.append(EntitySpan(entity.label, sentence.text[start:end], start, end, chance))
    return TagsPrediction(sentence.words, to_iob2(tags), tuple(chances), tuple(found))
