"""What classification and regression share: one output row for a text or a pair of texts."""
# N examples, C outputs.

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from bertkit.data.tables import TableSource
from bertkit.tasks.columns import Columns
from bertkit.tasks.contract import Task
from bertkit.tasks.cut_texts import cut_remarks
from bertkit.tasks.instances import TaskInstances
from bertkit.tasks.labelled_examples import LabelledExamples, read_examples
from bertkit.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class TextTask(Task[LabelledExamples]):
    """A label for each text; an instance is a sequence."""

    architecture = "BertForSequenceClassification"

    @classmethod
    def read(
        cls,
        source: TableSource,
        columns: Columns,
        *,
        split: str = "train",
        where: tuple[str, str] | None = None,
        labelled: bool = True,
    ) -> LabelledExamples:
        """Read a table; see `read_examples`."""
        return read_examples(source, columns, split=split, where=where, labelled=labelled)

    def examples(self, given: Sequence[Any]) -> LabelledExamples:
        """Texts, or pairs of texts."""
        return LabelledExamples.unlabelled(given)

    @abstractmethod
    def targets(self, labels: Sequence[object], place: Callable[[int], str]) -> Tensor:
        """Labels as a table holds them to a tensor (N,); `InputError` names `place(index)` of a bad one."""

    def encode(
        self, examples: LabelledExamples, tokenizer: Tokenizer, *, labelled: bool = True
    ) -> TaskInstances[LabelledExamples]:
        """A sequence an example, cut to `max_length` tokens."""
        targets = self.targets(examples.labels, examples.place) if labelled else None
        sequences = examples.encode(tokenizer, self.max_length)
        remarks = cut_remarks(
            sequences, examples.texts, examples.text_pairs, examples.places, tokenizer, self.max_length
        )
        return replace(TaskInstances.of_sequences(examples, sequences, targets), remarks=remarks)
