"""Which sections the page has for which family of tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bertkit.studies.report import Section
from bertkit.studies.task_report.answers import answer_sections
from bertkit.studies.task_report.choices import choice_sections
from bertkit.studies.task_report.classes import class_sections
from bertkit.studies.task_report.evaluated import Evaluated
from bertkit.studies.task_report.scores import score_sections
from bertkit.studies.task_report.tags import tag_sections
from bertkit.tasks.classification import Classification
from bertkit.tasks.contract import Task
from bertkit.tasks.multiple_choice import MultipleChoice
from bertkit.tasks.regression import Regression
from bertkit.tasks.span_extraction import SpanExtraction
from bertkit.tasks.tagging import Tagging

SECTIONS: Mapping[type[Task[Any]], Callable[[Evaluated], list[Section]]] = {
    Classification: class_sections,
    Regression: score_sections,
    SpanExtraction: answer_sections,
    MultipleChoice: choice_sections,
    Tagging: tag_sections,
}
