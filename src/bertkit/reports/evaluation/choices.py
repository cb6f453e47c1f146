"""What the page says of a model that chooses."""
# N questions.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bertkit.reports.evaluation.calibration import calibration_section
from bertkit.reports.evaluation.classes import class_table_section
from bertkit.reports.evaluation.evaluated import Evaluated
from bertkit.reports.page import Passage, Passages, Piece, Section
from bertkit.tasks.choice import ChoiceQuestion
from bertkit.tasks.predictions import ChoicePrediction

_ERRORS = 15


def choice_sections(found: Evaluated) -> list[Section]:
    """Places of the choices, calibration, and the surest errors."""
    questions: Sequence[ChoiceQuestion] = found.instances.examples.items
    predictions = [one for one in found.predictions if isinstance(one, ChoicePrediction)]
    said, labels = np.array([one.place for one in predictions]), found.targets.numpy()  # (N,)
    chances = np.array([one.probabilities[one.place] for one in predictions])
    names = [str(place) for place in range(max(len(question.choices) for question in questions))]
    return [
        class_table_section(said, labels, names, "place"),
        calibration_section(chances, said == labels, "questions"),
        _errors(questions, predictions, np.flatnonzero(said != labels).tolist()),
    ]


def _errors(
    questions: Sequence[ChoiceQuestion], predictions: Sequence[ChoicePrediction], wrong: Sequence[int]
) -> Section:
    worst = sorted(wrong, key=lambda index: -predictions[index].probabilities[predictions[index].place])[:_ERRORS]
    passages = [
        Passage(
            head=questions[index].question,
            pieces=_choices(questions[index], predictions[index]),
            note=questions[index].place,
        )
        for index in worst
    ]
    caption = "The surest errors come first. Every choice has the probability beside it that the model gives it."
    title = f"The worst of {len(wrong):,} errors"
    return Section(title=title, blocks=[Passages(passages=passages, caption=caption if passages else "None.")])


def _choices(question: ChoiceQuestion, said: ChoicePrediction) -> list[Piece]:
    """Chosen is wrong, not chosen is missed."""
    pieces = []
    for place, (choice, chance) in enumerate(zip(question.choices, said.probabilities, strict=True)):
        kind = "wrong" if place == said.place else "missed" if place == question.right else ""
        pieces += [Piece(text=f"{choice} ({chance:.1%})", kind=kind), Piece(text="  |  ")]
    return pieces[:-1]
