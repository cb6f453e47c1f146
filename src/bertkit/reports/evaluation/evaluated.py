"""A model's outputs on labelled examples, and texts with what is found and what is there in colour."""
# N examples, R rows of output, C outputs.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from torch import Tensor

from bertkit.core.machine import Precision
from bertkit.inference.evaluation import compute_logits
from bertkit.reports.page import Piece
from bertkit.tasks.contract import Task, TaskInstances
from bertkit.tasks.evaluation import measure
from bertkit.tasks.model import TaskModel
from bertkit.tasks.predictions import Prediction


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluated:
    """What the model says of the examples, and its figures over all."""

    task: Task[Any]
    instances: TaskInstances[Any] = field(repr=False)
    logits: Tensor = field(repr=False)
    """(R, C)"""

    @classmethod
    def of(
        cls,
        model: TaskModel,
        task: Task[Any],
        instances: TaskInstances[Any],
        *,
        max_tokens: int,
        precision: Precision,
    ) -> Evaluated:
        """Run the model over all sequences once."""
        logits = compute_logits(model, instances.sequences, max_tokens=max_tokens, precision=precision)
        instances.check_finite(logits.numpy())
        return cls(task=task, instances=instances, logits=logits)

    @cached_property
    def figures(self) -> Mapping[str, float]:
        """The task's metrics and the mean loss."""
        return measure(self.task, self.logits, self.instances)

    @cached_property
    def predictions(self) -> Sequence[Prediction]:
        """What is said of each example (N,)."""
        return self.task.decode(self.logits.numpy(), self.instances)

    @property
    def targets(self) -> Tensor:
        """The instances' labels."""
        assert self.instances.targets is not None
        return self.instances.targets


_MARGIN = 140
"""Characters of plain text that stay beside a coloured piece."""
_HEAD, _TAIL = 500, 200
"""Characters of both ends of a long text without colours."""
_GAP = " […] "


@dataclass(frozen=True, slots=True)
class Span:
    """Characters from `start` up to `end`, and what they are called."""

    start: int
    end: int
    label: str = ""


def marked(text: str, found: Sequence[Span], wanted: Sequence[Span]) -> list[Piece]:
    """Cut the text where a span starts or ends; spans of one side do not overlap.

    A piece is right where both sides have the same span, right in part where both have one of the same label, wrong
    where only `found` or another label has one, and missed where only `wanted` has one. Long plain stretches are cut.
    """
    ends = {0, len(text)} | {place for span in (*found, *wanted) for place in (span.start, span.end)}
    cuts = sorted(place for place in ends if 0 <= place <= len(text))
    pieces = []
    for start, end in pairwise(cuts):
        ours, theirs = _over(found, start), _over(wanted, start)
        pieces.append(Piece(text=text[start:end], kind=_kind(ours, theirs), label=_label(ours, theirs, end)))
    return _shortened(pieces)


def excerpt(text: str) -> list[Piece]:
    """A text without colours, of a long one the ends."""
    return [Piece(text=text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]}{_GAP}{text[-_TAIL:]}")]


def _over(spans: Sequence[Span], place: int) -> Span | None:
    return next((span for span in spans if span.start <= place < span.end), None)


def _kind(ours: Span | None, theirs: Span | None) -> str:
    if ours is None:
        return "" if theirs is None else "missed"
    if theirs is None or ours.label != theirs.label:
        return "wrong"
    return "right" if ours == theirs else "partly"


def _label(ours: Span | None, theirs: Span | None, end: int) -> str:
    """At a span's end its label; both where they differ."""
    said = ours.label if ours is not None and ours.end == end else ""
    if theirs is None or theirs.end != end:
        return said
    if ours is None:
        return theirs.label
    return said if ours.label == theirs.label else f"{said}, is {theirs.label}".removeprefix(", ")


def _shortened(pieces: Sequence[Piece]) -> list[Piece]:
    """Plain pieces keep what is next to a colour."""
    last = len(pieces) - 1
    kept = []
    for number, piece in enumerate(pieces):
        text = piece.text
        head = "" if number == 0 and last > 0 else text[:_MARGIN]
        tail = "" if number == last else text[-_MARGIN:]
        if not piece.kind and len(text) > len(head) + len(tail) + len(_GAP):
            piece = Piece(text=f"{head}{_GAP}{tail}")  # noqa: PLW2901
        kept.append(piece)
    return kept
