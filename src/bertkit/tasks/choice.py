"""One of several choices for a question, as many as each question has."""
# N questions, S sequences: all their choices, K the most choices.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertkit.data.tables import TableSource
from bertkit.foundation.errors import InputError
from bertkit.model.config import BertConfig
from bertkit.model.heads import MultipleChoiceHead
from bertkit.tasks.choice_files import read_choices
from bertkit.tasks.choice_question import ChoiceQuestion, ChoiceQuestions
from bertkit.tasks.columns import Columns
from bertkit.tasks.contract import Task
from bertkit.tasks.cut_texts import cut_remarks
from bertkit.tasks.inputs import shortened
from bertkit.tasks.instances import TaskInstances
from bertkit.tasks.loss_shape import PLAIN, LossShape
from bertkit.tasks.prediction import ChoicePrediction, Prediction
from bertkit.tasks.ragged import side_by_side
from bertkit.tasks.task_options import TaskOptions
from bertkit.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class MultipleChoice(Task[ChoiceQuestions]):
    """Cross-entropy over the scores of a question's choices (Devlin et al. 2019, section 4.4).

    An instance is a question: a sequence `[CLS] question [SEP] choice [SEP]` for each of its choices.
    """

    kind = "multiple-choice"
    architecture = "BertForMultipleChoice"
    known_metrics = ("accuracy",)
    smooths_labels = True
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

    @classmethod
    def define(
        cls,
        train: ChoiceQuestions,
        options: TaskOptions,
        *,
        max_length: int,
        metric_names: tuple[str, ...] | None,
        columns: Columns,
        benchmark: str | None,
    ) -> Self:
        """Nothing depends on the training questions."""
        names = metric_names or cls.metric_names
        return cls(max_length=max_length, metric_names=names, columns=columns, benchmark=benchmark)

    @property
    def labels(self) -> None:
        """A score has no name."""
        return

    @property
    def summary(self) -> str:
        """Choices."""
        return "choices"

    def head(self, config: BertConfig) -> nn.Module:
        """Dropout and a linear layer to one score."""
        return MultipleChoiceHead(config)

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
            remarks=cut_remarks(sequences, questions, choices, places, tokenizer, self.max_length),
        )

    def loss(self, logits: Tensor, targets: Tensor, bounds: Tensor, shape: LossShape = PLAIN) -> Tensor:
        """Cross-entropy over each question's choices, summed; what is smoothed away from one goes to these alone."""
        scores = side_by_side(logits.squeeze(-1), bounds)  # (N, K)
        loss = F.cross_entropy(scores, targets, reduction="sum")
        if not shape.label_smoothing:
            return loss
        there = scores.isfinite()
        spread = -(scores.log_softmax(-1).where(there, 0.0).sum(-1) / there.sum(-1)).sum()
        return torch.lerp(loss, spread, shape.label_smoothing)

    def correct(self, logits: Tensor, targets: Tensor, bounds: Tensor) -> Tensor:
        """Questions whose best choice is right."""
        return (side_by_side(logits.squeeze(-1), bounds).argmax(-1) == targets).sum()

    def decode(self, logits: Tensor, instances: TaskInstances[ChoiceQuestions]) -> list[Prediction]:
        """Softmax over each question's choices; of equal ones the first."""
        scores = side_by_side(logits.squeeze(-1), torch.from_numpy(instances.row_bounds))  # (N, K)
        best, rows = scores.argmax(-1).tolist(), scores.softmax(-1).tolist()
        return [
            ChoicePrediction(item.choices[place], place, tuple(row[: len(item.choices)]))
            for item, place, row in zip(instances.examples.items, best, rows, strict=True)
        ]

    def metrics(self, logits: Tensor, instances: TaskInstances[ChoiceQuestions]) -> dict[str, float]:
        """Share of questions whose best choice is right."""
        assert instances.targets is not None
        right = self.correct(logits, instances.targets, torch.from_numpy(instances.row_bounds))
        return {"accuracy": int(right) / len(instances)}

    def chance(self, instances: TaskInstances[ChoiceQuestions]) -> dict[str, float]:
        """Of the same place for all questions."""
        assert instances.targets is not None
        return {"accuracy": int(instances.targets.bincount().max()) / len(instances)}

    def perfect(self, instances: TaskInstances[ChoiceQuestions]) -> dict[str, float]:
        """Every question's."""
        return {"accuracy": 1.0}


def _are_texts(given: object) -> bool:
    return isinstance(given, list | tuple) and all(isinstance(text, str) for text in given)


def _example(given: Any, place: str) -> ChoiceQuestion:
    if not (isinstance(given, list | tuple) and len(given) == 2 and isinstance(given[0], str) and _are_texts(given[1])):
        raise InputError(f"{place} is {shortened(given)}: give a question and a list of choices")
    if len(given[1]) < 2:
        raise InputError(f"{place} has the choices {given[1]!r}: give at least 2")
    return ChoiceQuestion(question=given[0], choices=tuple(given[1]), right=None, place=place)
