"""One of several choices for a question: the files, the task and its scores."""
# N questions, S sequences: all their choices, K the most choices.

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bertkit.core.arrays import padded_runs, softmax
from bertkit.core.errors import InputError
from bertkit.core.lazy import lazy_module
from bertkit.data.readers.tables import Table, TableSource, read_table
from bertkit.model.config import BertConfig
from bertkit.tasks.contract import PLAIN, LossShape, Scorer, Task, TaskInstances
from bertkit.tasks.examples import Records, cut_warnings
from bertkit.tasks.labelled import shortened
from bertkit.tasks.options import Columns
from bertkit.tasks.predictions import ChoicePrediction, Prediction
from bertkit.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from bertkit.core import batch as batches
    from bertkit.model import architectures as heads
else:
    torch = lazy_module("torch")
    heads = lazy_module("bertkit.model.architectures")
    batches = lazy_module("bertkit.core.batch")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceQuestion:
    """`right` is the place of the right one among `choices`, None where it is not known."""

    question: str
    choices: tuple[str, ...]
    right: int | None
    place: str

    @property
    def marked_text(self) -> str:
        """The question."""
        return self.question

    def record(self) -> dict[str, Any]:
        """What a line of JSON shows."""
        return {"question": self.question, "choices": list(self.choices)}


ChoiceQuestions = Records[ChoiceQuestion]


Names = Sequence[Any]
"""What a label may call a question's choices: their own labels, else their texts."""
_LETTERS = string.ascii_uppercase


def read_choices(
    source: TableSource,
    columns: Columns,
    *,
    split: str = "train",
    where: tuple[str, str] | None = None,
    labelled: bool = True,
) -> ChoiceQuestions:
    """Read a table with a column a choice, or one column of lists (also as JSON), whose number may differ by row.

    Empty cells behind the last choice are none. The text pair, if there is one, is how every choice begins. Labels are
    places from 0 if most of the file's can be, else letters from A, the right choices' texts, or their labels where a
    cell holds {"text": [...], "label": [...]}. Raises `InputError`.
    """
    if not columns.choices:
        raise InputError("multiple choice needs columns: give --choices, a column each or one column of lists")
    pair = () if columns.text_pair is None else (columns.text_pair,)
    label = (columns.label,) if labelled else ()
    condition = () if where is None else (where[0],)
    names = list(dict.fromkeys([columns.text, *pair, *columns.choices, *label, *condition]))
    table = read_table(
        source, columns=names, header=columns.header, encoding_errors=columns.encoding_errors, split=split
    )
    rows = [index for index in range(len(table)) if where is None or table.columns[where[0]][index] == where[1]]
    if not rows:
        raise InputError(f"{source} has no row whose {where} is as asked for: check the file")
    questions = [_question(table, index, columns) for index in rows]
    if labelled:
        labels = [table.columns[columns.label][index] for index in rows]
        found_places = [_place(label, question) for label, (question, _) in zip(labels, questions, strict=True)]
        are_places = 2 * sum(place is not None for place in found_places) >= len(labels)
        questions = [
            (replace(question, right=_right(label, question, None if are_places else names)), names)
            for label, (question, names) in zip(labels, questions, strict=True)
        ]
    found = [question for question, _ in questions]
    return ChoiceQuestions(tuple(found), table.warnings + _warnings(found))


def _question(table: Table, index: int, columns: Columns) -> tuple[ChoiceQuestion, Names]:
    place = table.place(index)
    question = _text(table.columns[columns.text][index], columns.text, place)
    begin = (
        "" if columns.text_pair is None else _text(table.columns[columns.text_pair][index], columns.text_pair, place)
    )
    cells = [table.columns[column][index] for column in columns.choices]
    texts, names = _listed(cells[0], place) if len(cells) == 1 else (cells, None)
    while texts and texts[-1] in (None, ""):
        texts = texts[:-1]
    if len(texts) < 2 or not all(isinstance(text, str) and text for text in texts):
        raise InputError(f"{place} has the choices {texts!r}: give at least 2 texts")
    choices = tuple(f"{begin} {text}" if begin else text for text in texts)
    return ChoiceQuestion(question=question, choices=choices, right=None, place=place), names or texts


def _text(cell: Any, column: str | int, place: str) -> str:
    if not isinstance(cell, str) or not cell.strip():
        raise InputError(f"{place}: column {column!r} holds {cell!r} and no text: mend the row")
    return cell


def _listed(cell: Any, place: str) -> tuple[Sequence[Any], Sequence[Any] | None]:
    """The texts of one cell, and their labels where it names them."""
    if isinstance(cell, str):
        with suppress(json.JSONDecodeError):
            cell = json.loads(cell)
    if isinstance(cell, dict) and isinstance(cell.get("text"), list) and isinstance(cell.get("label"), list):
        if len(cell["text"]) == len(cell["label"]):
            return cell["text"], cell["label"]
    elif isinstance(cell, list):
        return cell, None
    raise InputError(f"{place}: {cell!r} are no choices: give a list of texts")


def _place(label: Any, question: ChoiceQuestion) -> int | None:
    """The place that a label gives as a number."""
    if isinstance(label, str) and label.strip().isdecimal():
        label = int(label)
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    return label if isinstance(label, int) and 0 <= label < len(question.choices) else None


def _right(label: Any, question: ChoiceQuestion, names: Names | None) -> int:
    """By place where `names` is None, else by name or letter."""
    place = _place(label, question) if names is None else None
    if names is not None and label in names:
        place = list(names).index(label)
    elif names is not None and isinstance(label, str) and label in list(_LETTERS[: len(names)]):
        place = _LETTERS.index(label)
    if place is None:
        raise InputError(
            f"{question.place}: label {label!r} is none of the {len(question.choices)} choices: give its place from 0, "
            "or in the whole file its letter or its text"
        )
    return place


def _warnings(questions: Sequence[ChoiceQuestion]) -> tuple[str, ...]:
    twice = [question for question in questions if len(set(question.choices)) < len(question.choices)]
    if not twice:
        return ()
    return (f"{len(twice):,} questions have a choice twice (the first: {twice[0].place})",)


@dataclass(frozen=True, kw_only=True)
class MultipleChoice(Task[ChoiceQuestions]):
    """Cross-entropy over the scores of a question's choices (Devlin et al. 2019, section 4.4).

    An instance is a question: a sequence `[CLS] question [SEP] choice [SEP]` for each of its choices.
    """

    kind = "multiple-choice"
    architecture = "BertForMultipleChoice"
    known_metrics = ("accuracy",)
    known_loss_options = ("label_smoothing",)
    usual_columns = Columns(text="question", label="label", choices=("choices",))
    known_columns = ("text", "text_pair", "label", "choices")

    metric_names: tuple[str, ...] = ("accuracy",)

    @classmethod
    def read(
        cls,
        source: TableSource,
        columns: Columns,
        *,
        split: str = "train",
        where: tuple[str, str] | None = None,
        labelled: bool = True,
    ) -> ChoiceQuestions:
        """Read a table; see `read_choices`."""
        return read_choices(source, columns, split=split, where=where, labelled=labelled)

    @property
    def summary(self) -> str:
        """Choices."""
        return "choices"

    def head(self, config: BertConfig) -> nn.Module:
        """Dropout and a linear layer to one score."""
        return heads.choice_head(config)

    def is_one(self, given: object) -> bool:
        """A tuple of a question and a list of choices."""
        return isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str) and _are_texts(given[1])

    def parse_line(self, line: str) -> tuple[str, list[str]]:
        """The question before the first tab, a choice after each."""
        question, *choices = line.split("\t")
        return question, choices

    def examples(self, given: Sequence[Any]) -> ChoiceQuestions:
        """Questions with lists of choices."""
        return ChoiceQuestions(tuple(_example(one, f"text {index}") for index, one in enumerate(given)))

    def encode(
        self, examples: ChoiceQuestions, tokenizer: Tokenizer, *, labelled: bool = True
    ) -> TaskInstances[ChoiceQuestions]:
        """A sequence a choice; targets (N,) are the right choices' places."""
        questions = [item.question for item in examples.items for _ in item.choices]
        choices = [choice for item in examples.items for choice in item.choices]
        counts = [len(item.choices) for item in examples.items]
        sequences = tokenizer.encode_batch(questions, choices, max_length=self.max_length)
        places = [item.place for item in examples.items for _ in item.choices]
        return TaskInstances(
            examples=examples,
            sequences=sequences,
            owners=np.arange(len(counts)),
            bounds=np.concatenate([[0], np.cumsum(counts)]),
            targets=torch.tensor([item.right for item in examples.items]) if labelled else None,
            warnings=cut_warnings(sequences, questions, choices, places, tokenizer, self.max_length),
        )

    def loss(self, logits: Tensor, targets: Tensor, bounds: Tensor, shape: LossShape = PLAIN) -> Tensor:
        """Cross-entropy over each question's choices, summed; what is smoothed away from one goes to these alone."""
        scores = batches.side_by_side(logits.squeeze(-1), bounds)  # (N, K)
        loss = torch.nn.functional.cross_entropy(scores, targets, reduction="sum")
        if not shape.label_smoothing:
            return loss
        there = scores.isfinite()
        spread = -(scores.log_softmax(-1).where(there, 0.0).sum(-1) / there.sum(-1)).sum()
        return torch.lerp(loss, spread, shape.label_smoothing)

    def decode(self, logits: NDArray[np.float32], instances: TaskInstances[ChoiceQuestions]) -> list[Prediction]:
        """Softmax over each question's choices; of equal ones the first."""
        scores = padded_runs(logits[:, 0], instances.row_bounds)  # (N, K)
        best, rows = scores.argmax(-1).tolist(), softmax(scores).tolist()
        return [
            ChoicePrediction(item.choices[place], place, tuple(row[: len(item.choices)]))
            for item, place, row in zip(instances.examples.items, best, rows, strict=True)
        ]

    @property
    def scorer(self) -> Scorer[MultipleChoice]:
        """By the best choice of each question."""
        return _ChoiceScorer(self)


class _ChoiceScorer(Scorer[MultipleChoice]):
    def figures(self, logits: Tensor, instances: TaskInstances[Any]) -> dict[str, float]:
        assert instances.targets is not None
        right = self.correct(logits, instances.targets, torch.from_numpy(instances.row_bounds))
        return {"accuracy": int(right) / len(instances)}

    def correct(self, logits: Tensor, targets: Tensor, bounds: Tensor) -> Tensor:
        """Questions whose best choice is right."""
        return (batches.side_by_side(logits.squeeze(-1), bounds).argmax(-1) == targets).sum()

    def chance(self, instances: TaskInstances[Any]) -> dict[str, float]:
        """Of the same place for all questions."""
        assert instances.targets is not None
        return {"accuracy": int(instances.targets.bincount().max()) / len(instances)}

    def right(self, instances: TaskInstances[Any]) -> Tensor:
        """1 for the right choice, 0 for the others."""
        assert instances.targets is not None
        logits = torch.zeros(int(instances.row_bounds[-1]), 1)
        logits[torch.from_numpy(instances.row_bounds[:-1]) + instances.targets] = 1.0
        return logits


def _are_texts(given: object) -> bool:
    return isinstance(given, list | tuple) and all(isinstance(text, str) for text in given)


def _example(given: Any, place: str) -> ChoiceQuestion:
    if not (isinstance(given, list | tuple) and len(given) == 2 and isinstance(given[0], str) and _are_texts(given[1])):
        raise InputError(f"{place} is {shortened(given)}: give a question and a list of choices")
    if len(given[1]) < 2:
        raise InputError(f"{place} has the choices {given[1]!r}: give at least 2")
    return ChoiceQuestion(question=given[0], choices=tuple(given[1]), right=None, place=place)
