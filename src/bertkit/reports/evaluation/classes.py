"""What the page says of a classifier."""
# N examples, C classes.

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from bertkit.studies.report import Block, Matrix, Paragraph, Passage, Passages, Section, Table
from bertkit.studies.task_report.calibration import calibration_section
from bertkit.studies.task_report.class_threshold import class_threshold_section
from bertkit.studies.task_report.evaluated import Evaluated
from bertkit.studies.task_report.marking import excerpt

_MOST_CLASSES = 24
"""Of a matrix that one can still read."""
_ERRORS = 20
_CONFUSIONS = 8


def class_sections(found: Evaluated) -> list[Section]:
    """Classes, calibration, for two classes the threshold, and the surest errors."""
    chances = found.logits.double().softmax(-1).numpy()  # (N, C)
    said, labels = chances.argmax(-1), found.targets.numpy()  # (N,)
    names = found.task.labels or ()
    sections = [
        class_table_section(said, labels, names, "class"),
        calibration_section(chances.max(-1), said == labels, "examples"),
    ]
    if len(names) == 2:
        sections.append(class_threshold_section(chances[:, 1], labels == 1, names[1]))
    return [*sections, _errors(found, chances, said, labels, names)]


def class_table_section(said: NDArray[np.int64], labels: NDArray[np.int64], names: Sequence[str], what: str) -> Section:
    """Precision, recall and F1 by class, and which is taken for which."""
    places = range(len(names))
    scores = np.stack(precision_recall_fscore_support(labels, said, labels=places, zero_division=0.0), -1)  # (C, 4)
    predicted = np.bincount(said, minlength=len(names))
    rows = [
        (name, *(f"{score:.3f}" for score in row[:3]), f"{row[3]:.0f}", f"{count:,}")
        for name, row, count in zip(names, scores, predicted, strict=True)
    ]
    occurs = (scores[:, 3] > 0) | (predicted > 0)
    rows.append(("mean", *(f"{score:.3f}" for score in scores[occurs, :3].mean(0)), "", ""))
    table = Table(
        head=(what, "precision", "recall", "F1", "there are", "predicted"),
        rows=rows,
        caption="The mean counts each that occurs alike (macro average).",
    )
    blocks: list[Block] = [table, _matrix(said, labels, names)]
    pairs = Counter(
        (names[is_], names[says]) for is_, says in zip(labels.tolist(), said.tolist(), strict=True) if is_ != says
    ).most_common(_CONFUSIONS)
    if len(names) > 2 and pairs:
        listed = "; ".join(f"{is_} taken for {says}, {count:,} times" for (is_, says), count in pairs)
        blocks.append(Paragraph(text=f"Most often confused: {listed}."))
    return Section(title=f"By {what}", blocks=blocks)


def _matrix(said: NDArray[np.int64], labels: NDArray[np.int64], names: Sequence[str]) -> Matrix:
    """Of all classes, or of those with the most errors."""
    is_wrong = said != labels
    errors = np.bincount(labels[is_wrong], minlength=len(names)) + np.bincount(said[is_wrong], minlength=len(names))
    kept = sorted(np.argsort(-errors, kind="stable")[:_MOST_CLASSES].tolist())
    left_out = "" if len(kept) == len(names) else f" The {len(kept)} of {len(names)} with the most errors."
    return Matrix(
        labels=[names[place] for place in kept],
        counts=confusion_matrix(labels, said, labels=range(len(names)))[np.ix_(kept, kept)].tolist(),
        caption=f"Row: what it is. Column: what the model says. Shaded by the share of the row.{left_out}",
    )


def _errors(
    found: Evaluated,
    chances: NDArray[np.float64],
    said: NDArray[np.int64],
    labels: NDArray[np.int64],
    names: Sequence[str],
) -> Section:
    examples = found.instances.examples
    wrong = np.flatnonzero(said != labels)
    worst = wrong[np.argsort(-chances[wrong, said[wrong]], kind="stable")][:_ERRORS]
    passages = []
    for index in worst.tolist():
        sure, right = chances[index, said[index]], chances[index, labels[index]]
        head = f"said {names[said[index]]} ({sure:.1%}), is {names[labels[index]]} ({right:.1%})"
        text = "  |  ".join(examples.record(index).values())
        passages.append(Passage(head=head, pieces=excerpt(text), note=examples.place(index)))
    caption = "The surest errors come first; wrong labels in the data are often among them."
    title = f"The worst of {len(wrong):,} errors"
    return Section(title=title, blocks=[Passages(passages=passages, caption=caption if passages else "None.")])
