"""What a task says about one example."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Mark:
    """A part of the text that a prediction speaks of: characters from `start` up to `end`."""

    start: int
    end: int
    label: str = ""


class Prediction(ABC):
    """What a task says of one example; a frozen dataclass for each kind."""

    @abstractmethod
    def fields(self) -> list[str]:
        """What a line of the terminal shows."""

    @abstractmethod
    def row(self) -> dict[str, Any]:
        """Columns of a table; lists and dictionaries in it are written as JSON."""

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Parts of the text to highlight."""
        return ()


@dataclass(frozen=True)
class ClassPrediction(Prediction):
    """The likeliest class, and the probability of every class."""

    label: str
    probabilities: Mapping[str, float]

    def fields(self) -> list[str]:
        """Class and probability."""
        return [self.label, f"{self.probabilities[self.label]:.4f}"]

    def row(self) -> dict[str, Any]:
        """A column for the probability of each class."""
        every = {f"probability_{label}": chance for label, chance in self.probabilities.items()}
        return {"label": self.label, "probability": self.probabilities[self.label], **every}


@dataclass(frozen=True)
class ScorePrediction(Prediction):
    """A number."""

    score: float

    def fields(self) -> list[str]:
        """The number."""
        return [f"{self.score:.4f}"]

    def row(self) -> dict[str, Any]:
        """The number."""
        return asdict(self)


@dataclass(frozen=True)
class SpanAnswer:
    """A part of a text: characters from `start` up to `end`, with its probability."""

    text: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True)
class AnswerPrediction(Prediction):
    """The answer in the context's own characters; "" where the context has none."""

    answer: str
    start: int | None
    end: int | None
    probability: float
    n_best: tuple[SpanAnswer, ...]
    """The likeliest spans, the likeliest first, whether or not one of them is given as the answer."""

    def fields(self) -> list[str]:
        """Answer and probability."""
        return [self.answer, f"{self.probability:.4f}"]

    def row(self) -> dict[str, Any]:
        """All but the other spans."""
        return {"answer": self.answer, "start": self.start, "end": self.end, "probability": self.probability}

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The answer, if there is one."""
        return () if self.start is None or self.end is None else (Mark(self.start, self.end),)


@dataclass(frozen=True)
class ChoicePrediction(Prediction):
    """The likeliest choice, its place from 0, and the probability of every choice."""

    choice: str
    place: int
    probabilities: tuple[float, ...]

    def fields(self) -> list[str]:
        """Choice, place and probability."""
        return [self.choice, str(self.place), f"{self.probabilities[self.place]:.4f}"]

    def row(self) -> dict[str, Any]:
        """Questions differ in how many choices they have, so all probabilities are one column."""
        own = {"choice": self.choice, "place": self.place, "probability": self.probabilities[self.place]}
        return {**own, "probabilities": self.probabilities}


@dataclass(frozen=True)
class EntitySpan:
    """A named part of a text: characters from `start` up to `end`; the probability is that of all its words' tags."""

    label: str
    text: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True)
class TagsPrediction(Prediction):
    """The words of a text with a tag for each, and the entities that the tags mean."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    probabilities: tuple[float, ...]
    """Of each word's tag."""
    entities: tuple[EntitySpan, ...]

    def fields(self) -> list[str]:
        """Entities with their places, or tags where these mean none."""
        if not self.entities:
            return [" ".join(tag for tag in self.tags if tag != "O")]
        return [", ".join(f"{one.text} ({one.label}, {one.start}-{one.end})" for one in self.entities)]

    def row(self) -> dict[str, Any]:
        """A column each for the entities, the words, and their tags with the probabilities of these."""
        return {
            "entities": [asdict(one) for one in self.entities],
            "words": self.words,
            "tags": self.tags,
            "probabilities": self.probabilities,
        }

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The entities."""
        return tuple(Mark(one.start, one.end, one.label) for one in self.entities)
