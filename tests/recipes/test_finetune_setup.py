import pytest
import torch

from bertkit.core.errors import InputError
from bertkit.recipes.finetune_setup import loss_shape
from bertkit.recipes.options import FinetuneOptions
from bertkit.tasks.choice import MultipleChoice
from bertkit.tasks.classification import Classification
from bertkit.tasks.contract import Task, TaskInstances
from bertkit.tasks.labelled import LabelledExamples
from bertkit.tasks.questions.task import SpanExtraction
from bertkit.tasks.regression import Regression

TRAIN = TaskInstances.of_sequences(
    LabelledExamples(texts=(), text_pairs=None, labels=(), places=()), [], torch.tensor([0, 0, 0, 1])
)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (
            Regression(max_length=4),
            FinetuneOptions(label_smoothing=0.1),
            "label_smoothing has no meaning for regression",
        ),
        (
            SpanExtraction(max_length=4),
            FinetuneOptions(label_smoothing=0.1),
            "label_smoothing has no meaning for span-extraction",
        ),
        (
            MultipleChoice(max_length=4),
            FinetuneOptions(class_weights=("balanced",)),
            "class_weights has no meaning for multiple-choice",
        ),
    ],
)
def test_what_a_task_has_no_use_for_is_refused(task: Task, options: FinetuneOptions, message: str):
    with pytest.raises(InputError, match=message):
        loss_shape(task, TRAIN, options)


def test_what_was_asked_for_is_in_the_loss():
    task = Classification(classes=("no", "yes"), max_length=4)
    shape = loss_shape(task, TRAIN, FinetuneOptions(label_smoothing=0.1, class_weights=("balanced",)))
    assert shape.label_smoothing == 0.1
    assert shape.class_weights is not None
    assert shape.class_weights.tolist() == pytest.approx([2 / 3, 2.0])
    assert loss_shape(task, TRAIN, FinetuneOptions()).class_weights is None
