"""The span of a text that answers a question, or that there is none."""
# N questions, I windows, T tokens.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from bertkit.core.errors import InputError
from bertkit.core.lazy import lazy_module
from bertkit.core.records import Figure, Positive
from bertkit.data.readers.tables import TableSource
from bertkit.model.config import BertConfig
from bertkit.tasks.contract import IGNORED, PLAIN, Definition, LossShape, Scorer, Task, TaskInstances
from bertkit.tasks.labelled import checked_pairs, is_pair, shortened
from bertkit.tasks.options import Columns
from bertkit.tasks.predictions import AnswerPrediction, Prediction
from bertkit.tasks.questions.answers import AnswerEvaluation, SpanChoice, WindowScores, independent_choice, joint_choice
from bertkit.tasks.questions.files import Question, Questions, is_squad_file, read_questions
from bertkit.tasks.questions.windows import encode_questions
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


_METRICS = ("f1", "exact", "joint_f1", "joint_exact")
_METRICS_WITH_IMPOSSIBLE = (*_METRICS, "answerable_f1", "answerable_exact", "unanswerable_accuracy")


@dataclass(frozen=True, kw_only=True)
class SpanExtraction(Task[Questions]):
    """SQuAD's task (Devlin et al. 2019, sections 4.2 and 4.3): cross-entropy of the answer's first and last token.

    An instance is a window of a context; the windows of a question are put together when it is answered.
    """

    kind = "span-extraction"
    architecture = "BertForQuestionAnswering"
    known_metrics = _METRICS_WITH_IMPOSSIBLE
    reads_tokens = True
    usual_max_length = 384
    usual_columns = Columns(text="question", text_pair="context", label="answers")
    known_options = ("doc_stride", "max_question_length", "max_answer_length", "n_best", "joint")

    metric_names: tuple[str, ...] = _METRICS
    doc_stride: Positive = 128
    max_question_length: Positive = 64
    max_answer_length: Positive = 30
    n_best: Positive = 20
    joint: bool = False
    impossible: bool = False
    """Whether a context may have no answer."""
    threshold: Figure | None = None
    """Log odds over which no answer is given; None is what is best for the questions measured, 0 in prediction."""
    joint_threshold: Figure | None = None

    @classmethod
    def read(
        cls,
        source: TableSource,
        columns: Columns,
        *,
        split: str = "train",
        where: tuple[str, str] | None = None,
        labelled: bool = True,
    ) -> Questions:
        """Read SQuAD's JSON or a table; see `read_questions`."""
        return read_questions(source, columns, split=split, where=where, labelled=labelled)

    @classmethod
    def has_own_layout(cls, path: Path) -> bool:
        """SQuAD's."""
        return is_squad_file(path)

    @classmethod
    def define(cls, train: Questions, given: Definition) -> Self:
        """Answers may be impossible where some training question has none."""
        if all(answer.start is None for question in train.items for answer in question.answers):
            raise InputError(f"no training question has an answer in its context: check {train.place(0)}")
        impossible = any(not question.answers for question in train.items)
        names = given.metric_names or (_METRICS_WITH_IMPOSSIBLE if impossible else _METRICS)
        return cls.of(given, metric_names=names, impossible=impossible)

    @property
    def summary(self) -> str:
        """Whether there is always an answer."""
        return "answers or none" if self.impossible else "answers"

    def head(self, config: BertConfig) -> nn.Module:
        """A linear layer to two scores a token."""
        return heads.span_head(config)

    def is_one(self, given: object) -> bool:
        """A tuple of a question and a context."""
        return isinstance(given, tuple) and is_pair(given)

    def parse_line(self, line: str) -> tuple[str, str]:
        """The question before a tab, the context after it."""
        question, tab, context = line.partition("\t")
        if not tab:
            raise InputError(f"{shortened(line)} has no tab: write the question, a tab and the text that may answer it")
        return question, context

    def examples(self, given: Sequence[Any]) -> Questions:
        """Pairs of a question and a context."""
        pairs = checked_pairs(given)
        return Questions(
            tuple(
                Question(id=str(index), question=pair[0], context=pair[1], answers=(), place=f"text {index}")
                for index, pair in enumerate(pairs)
            )
        )

    def encode(self, examples: Questions, tokenizer: Tokenizer, *, labelled: bool = True) -> TaskInstances[Questions]:
        """Windows; targets (I, 2)."""
        instances = encode_questions(
            examples,
            tokenizer,
            max_length=self.max_length,
            doc_stride=self.doc_stride,
            max_question_length=self.max_question_length,
            labelled=labelled,
        )
        unanswerable = [question for question in examples.items if not question.answers]
        if self.impossible or not labelled or not unanswerable:
            return instances
        warning = (
            f"{len(unanswerable):,} of {len(examples):,} questions have no answer, which this model cannot say: "
            f"fine-tune with such questions (the first: {unanswerable[0].place})"
        )
        return replace(instances, warnings=(*instances.warnings, warning))

    def loss(self, logits: Tensor, targets: Tensor, bounds: Tensor, shape: LossShape = PLAIN) -> Tensor:
        """Cross-entropy over a window's tokens, mean of start and end, summed."""
        starts, ends = (batches.side_by_side(logits[:, side], bounds) for side in (0, 1))  # (B, L)
        return sum(  # type: ignore[return-value]
            torch.nn.functional.cross_entropy(scores, targets[:, side], ignore_index=IGNORED, reduction="sum") / 2
            for side, scores in enumerate((starts, ends))
        )

    def count(self, targets: Tensor) -> int:
        """Windows that are trained on."""
        return int((targets[:, 0] != IGNORED).sum())

    def decode(self, logits: NDArray[np.float32], instances: TaskInstances[Questions]) -> list[Prediction]:
        """The likeliest answers, or none."""
        threshold = self.used_threshold
        choices = self._choices(logits.astype(np.float64), instances, joint=self.joint)
        return [self._prediction(choice, threshold) for choice in choices]

    @property
    def used_threshold(self) -> float:
        """Log odds over which a prediction is that there is no answer."""
        return (self.joint_threshold if self.joint else self.threshold) or 0.0

    def _prediction(self, choice: SpanChoice, threshold: float) -> AnswerPrediction:
        if not choice.answers or (self.impossible and choice.null_odds > threshold):
            return AnswerPrediction("", None, None, choice.null_probability, choice.answers)
        best = choice.answers[0]
        return AnswerPrediction(best.text, best.start, best.end, best.probability, choice.answers)

    @property
    def scorer(self) -> Scorer[SpanExtraction]:
        """By SQuAD's exact match and F1."""
        return _AnswerScorer(self)

    def groups(self, examples: Questions) -> Sequence[int]:
        """The contexts."""
        contexts = {text: number for number, text in enumerate(dict.fromkeys(item.context for item in examples.items))}
        return [contexts[item.context] for item in examples.items]

    @property
    def is_tunable(self) -> bool:
        """The thresholds."""
        return self.impossible

    def tuned(self, logits: Tensor, instances: TaskInstances[Questions]) -> Self:
        """With the thresholds of the highest F1."""
        usual, joint = (self.evaluation(logits, instances, joint=joint).threshold() for joint in (False, True))
        return replace(self, threshold=usual, joint_threshold=joint)

    def evaluation(self, logits: Tensor, instances: TaskInstances[Questions], *, joint: bool) -> AnswerEvaluation:
        """Scores of every question, answered and not, by the usual or by the joint choice."""
        choices = self._choices(logits.double().numpy(), instances, joint=joint)
        return AnswerEvaluation.of(choices, instances.examples.items)

    def _choices(
        self, scores: NDArray[np.float64], instances: TaskInstances[Questions], *, joint: bool
    ) -> Iterator[SpanChoice]:
        """One for each of the N questions, of scores (T, 2)."""
        stops = np.searchsorted(instances.owners, np.arange(len(instances.examples)), side="right")
        first = 0
        for question, stop in zip(instances.examples.items, stops.tolist(), strict=True):
            windows = [_window(scores, instances, window) for window in range(first, stop)]
            first = stop
            if joint:
                yield joint_choice(windows, question.context, n_best=self.n_best, max_tokens=self.max_answer_length)
            else:
                yield independent_choice(
                    windows,
                    question.context,
                    n_best=self.n_best,
                    max_tokens=self.max_answer_length,
                    may_be_impossible=self.impossible,
                )


class _AnswerScorer(Scorer[SpanExtraction]):
    def figures(self, logits: Tensor, instances: TaskInstances[Any]) -> dict[str, float]:
        """Means over the questions, by the usual and by the joint choice."""
        task, figures = self.task, dict[str, float]()
        for joint, threshold in ((False, task.threshold), (True, task.joint_threshold)):
            found = task.evaluation(logits, instances, joint=joint)
            used = found.threshold() if task.impossible and threshold is None else threshold
            prefix = "joint_" if joint else ""
            figures |= {prefix + name: value for name, value in found.figures(used).items()}
        return figures

    def correct(self, logits: Tensor, targets: Tensor, bounds: Tensor) -> Tensor:
        """Windows whose likeliest start and end are right."""
        found = torch.stack([batches.side_by_side(logits[:, side], bounds).argmax(-1) for side in (0, 1)], -1)
        return (found == targets).all(-1).sum()

    def chance(self, instances: TaskInstances[Any]) -> dict[str, float]:
        """Of never an answer."""
        none = sum(not question.answers for question in instances.examples.items) / len(instances.examples)
        return self._scores(none, answerable=0.0, impossible=1.0)

    def perfect(self, instances: TaskInstances[Any]) -> dict[str, float]:
        """Of every answer; what is measured on no question is 0."""
        has_answer = {bool(question.answers) for question in instances.examples.items}
        return self._scores(1.0, answerable=float(True in has_answer), impossible=float(False in has_answer))

    def _scores(self, over_all: float, *, answerable: float, impossible: float) -> dict[str, float]:
        figures = dict.fromkeys(_METRICS, over_all)
        figures |= {"answerable_f1": answerable, "answerable_exact": answerable, "unanswerable_accuracy": impossible}
        return {name: figures[name] for name in self.task.metric_names}


def _window(scores: NDArray[np.float64], instances: TaskInstances[Questions], index: int) -> WindowScores:
    """The context's part of a window, of scores (T, 2)."""
    assert instances.scored is not None
    assert instances.text_starts is not None
    sequence, start = instances.sequences[index], int(instances.row_bounds[index])
    before = int(instances.text_starts[index])
    context = slice(start + before, start + len(sequence) - 1)
    return WindowScores(
        start=scores[context, 0],
        end=scores[context, 1],
        may_start=instances.scored[context],
        offsets=sequence.offsets[before:-1],
        null=float(scores[start].sum()),
    )
