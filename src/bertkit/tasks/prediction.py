"""What a task says about one example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ClassPrediction:
    """The likeliest class, and the probability of every class."""

    label: str
    probabilities: Mapping[str, float]

    def fields(self) -> list[str]:
        """Class and probability."""
        return [self.label, f"{self.probabilities[self.label]:.4f}"]


@dataclass(frozen=True)
class ScorePrediction:
    """A number."""

    score: float

    def fields(self) -> list[str]:
        """The number."""
        return [f"{self.score:.4f}"]


@dataclass(frozen=True)
class SpanAnswer:
    """A part of a text: characters from `start` up to `end`, with its probability."""

    text: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True)
class AnswerPrediction:
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


@dataclass(frozen=True)
class ChoicePrediction:
    """The likeliest choice, its place from 0, and the probability of every choice."""

    choice: str
    place: int
    probabilities: tuple[float, ...]

    def fields(self) -> list[str]:
        """Choice, place and probability."""
        return [self.choice, str(self.place), f"{self.probabilities[self.place]:.4f}"]


@dataclass(frozen=True)
class EntitySpan:
    """A named part of a text: characters from `start` up to `end`; the probability is that of all its words' tags."""

    label: str
    text: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True)
class TagsPrediction:
    """The words of a text with a tag for each, and the entities that the tags mean."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    entities: tuple[EntitySpan, ...]

    def fields(self) -> list[str]:
        """Entities with their places, or tags where these mean none."""
        if not self.entities:
            return [" ".join(tag for tag in self.tags if tag != "O")]
        return [", ".join(f"{one.text} ({one.label}, {one.start}-{one.end})" for one in self.entities)]


Prediction = ClassPrediction | ScorePrediction | AnswerPrediction | ChoicePrediction | TagsPrediction
