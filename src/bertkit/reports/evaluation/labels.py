"""What the page says of a model that gives several labels."""
# N examples, L labels.

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, precision_recall_fscore_support

from bertkit.reports.evaluation.calibration import calibration_section
from bertkit.reports.evaluation.evaluated import Evaluated, excerpt
from bertkit.reports.page import Passage, Passages, Section, Table
from bertkit.tasks.multi_label import MultiLabel, probabilities

_ERRORS = 20


def label_sections(found: Evaluated) -> list[Section]:
    """Figures of each label, calibration, and the surest errors."""
    task = found.task
    assert isinstance(task, MultiLabel)
    if task.thresholds is None:
        task = task.tuned(found.logits, found.instances)
    thresholds = np.array(task.thresholds)
    chances, labels = probabilities(found.logits.numpy()), found.targets.numpy() > 0  # (N, L)
    given = chances >= thresholds
    return [
        _label_table(task.classes, chances, given, labels, thresholds),
        calibration_section(chances.ravel(), labels.ravel(), "labels of examples"),
        _errors(found, task.classes, chances, given, labels),
    ]


def _label_table(
    names: tuple[str, ...],
    chances: NDArray[np.float64],
    given: NDArray[np.bool_],
    labels: NDArray[np.bool_],
    thresholds: NDArray[np.float64],
) -> Section:
    rows = []
    for place, name in enumerate(names):
        is_label, is_given = labels[:, place], given[:, place]
        scores = precision_recall_fscore_support(is_label, is_given, average="binary", zero_division=0.0)[:3]
        at_half = f1_score(is_label, chances[:, place] >= 0.5, zero_division=0.0)
        precision = f"{average_precision_score(is_label, chances[:, place]):.3f}" if is_label.any() else ""
        figures = (*(f"{score:.3f}" for score in scores), precision, f"{thresholds[place]:.3f}", f"{at_half:.3f}")
        rows.append((name, *figures, f"{is_label.sum():,}", f"{is_given.sum():,}"))
    head = ("label", "precision", "recall", "F1", "average precision", "threshold", "F1 at 0.5", "support", "predicted")
    caption = (
        "A label is given where its probability reaches its threshold, which was chosen by F1 on dev. Average "
        "precision needs no threshold: it measures how well the label's examples are ranked above the others."
    )
    return Section(title="By label", blocks=[Table(head=head, rows=rows, caption=caption)])


def _errors(
    found: Evaluated,
    names: tuple[str, ...],
    chances: NDArray[np.float64],
    given: NDArray[np.bool_],
    labels: NDArray[np.bool_],
) -> Section:
    """A wrong label is as sure as its probability, a missed one as what the probability lacks of 1."""
    examples = found.instances.examples
    sure = np.where(given != labels, np.where(given, chances, 1 - chances), 0.0).max(-1)  # (N,)
    wrong = np.flatnonzero((given != labels).any(-1))
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:_ERRORS]

    def listed(index: int, those: NDArray[np.bool_]) -> str:
        return ", ".join(f"{names[place]} ({chances[index, place]:.1%})" for place in np.flatnonzero(those[index]))

    passages = [
        Passage(
            head=f"predicted {listed(index, given) or 'nothing'}; true labels {listed(index, labels) or 'none'}",
            pieces=excerpt("  |  ".join(examples.record(index).values())),
            note=examples.place(index),
        )
        for index in worst.tolist()
    ]
    extra, missed = (given & ~labels).sum(), (labels & ~given).sum()
    caption = (
        f"{extra:,} labels are given and wrong, {missed:,} are missed. The surest errors come first; wrong labels in "
        "the data are often among them."
    )
    title = f"The worst of {len(wrong):,} examples with an error"
    return Section(title=title, blocks=[Passages(passages=passages, caption=caption if passages else "None.")])
