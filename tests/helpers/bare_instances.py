"""Targets without texts, for what a task says about logits."""

import numpy as np
from torch import Tensor

from bertkit.tasks.contract import TaskInstances
from bertkit.tasks.labelled import LabelledExamples
from bertkit.text.sequences import EncodedExample


def bare_instances(count: int, targets: Tensor | None = None) -> TaskInstances[LabelledExamples]:
    """One sequence of two tokens an example."""
    texts, places = ("",) * count, tuple(map(str, range(count)))
    examples = LabelledExamples(texts=texts, text_pairs=None, labels=(None,) * count, places=places)
    empty = EncodedExample(np.zeros(2, np.int32), np.zeros(2, np.int8), np.zeros((2, 2), np.int32))
    return TaskInstances.of_sequences(examples, [empty] * count, targets)
