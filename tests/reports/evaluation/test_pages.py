"""Pages of every family, of scores that are made up: no model is run."""

from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bertkit.reports.evaluation.answers import NullCurve
from bertkit.reports.evaluation.classes import ThresholdCurve
from bertkit.reports.evaluation.evaluated import Evaluated
from bertkit.reports.evaluation.pages import SECTIONS, evaluation_page
from bertkit.reports.page import write_report
from bertkit.tasks.choice import ChoiceQuestion, ChoiceQuestions, MultipleChoice
from bertkit.tasks.classification import Classification
from bertkit.tasks.contract import Task, TaskInstances
from bertkit.tasks.kinds import KINDS, task_family
from bertkit.tasks.labelled import LabelledExamples
from bertkit.tasks.multi_label import MultiLabel
from bertkit.tasks.questions.answers import AnswerEvaluation
from bertkit.tasks.questions.files import Question, Questions, find_answer
from bertkit.tasks.questions.task import SpanExtraction
from bertkit.tasks.regression import Regression
from bertkit.tasks.tagging.files import Sentence, Sentences, joined
from bertkit.tasks.tagging.task import Tagging
from bertkit.text.tokenizer import Tokenizer

CONTEXT = "the plot was so long that a good film was a bad film"


class Text(HTMLParser):
    """The text of a page, its colours, and whether its tags are balanced."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.marks, self._open = "", [], []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "path", "use"}:
            self._open.append(tag)
        if tag == "mark":
            self.marks.append(dict(attrs)["class"])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Nothing is opened."""

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"path", "use"}:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def show(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Text]:
    tokenizer = Tokenizer.from_pretrained(tiny_model)

    def page(task: Task[Any], examples: Any, scores: Callable[[TaskInstances[Any]], Tensor]) -> Text:
        instances = task.encode(examples, tokenizer)
        found = Evaluated(task=task, instances=instances, logits=scores(instances))
        path = tmp_path_factory.mktemp("page") / "report.html"
        write_report(path, evaluation_page(found, model=Path("run/model"), data="dev.tsv"))
        return Text(path.read_text(encoding="utf-8"))

    return page


def _texts(labels: Sequence[object]) -> LabelledExamples:
    texts = tuple(f"a <good> film {place}" for place in range(len(labels)))
    places = tuple(f"dev.tsv, row {place}" for place in range(len(labels)))
    return LabelledExamples(texts=texts, text_pairs=None, labels=tuple(labels), places=places)


def test_the_sections_are_those_of_kinds_in_the_table_and_of_all_that_bertkit_brings():
    brought = ("classification", "multi-label", "regression", "span-extraction", "multiple-choice", "tagging")
    assert set(map(task_family, brought)) <= set(SECTIONS) <= set(map(task_family, KINDS))


class Guess(Task[LabelledExamples]):
    """A kind that no page knows."""

    kind, known_metrics = "guess", ("accuracy",)
    read = examples = None  # type: ignore[assignment]
    encode, head = Classification.encode, Classification.head
    targets = Classification.targets
    loss, decode, scorer = Classification.loss, Classification.decode, Classification.scorer


def test_a_kind_without_sections_of_its_own_shows_predictions(show: Callable[..., Text]):
    task = Guess(classes=("bad", "good"), max_length=16, metric_names=("accuracy",))
    page = show(task, _texts(["good"] * 30), lambda instances: torch.tensor([[0.0, 2.0]] * 30))
    assert "good  0.8808" in page.text
    assert "20 of 30" in page.text
    assert "dev.tsv, row 29" in page.text


def test_a_kind_that_derives_from_another_has_its_sections(show: Callable[..., Text]):
    class Derived(Classification):
        kind = "derived"

    task = Derived(classes=("bad", "good"), max_length=16)
    page = show(task, _texts(["good", "bad"]), lambda instances: torch.tensor([[0.0, 2.0]] * 2))
    assert "How far to trust the probabilities" in page.text


@pytest.mark.parametrize("count", [1, 9])
def test_errors_of_a_classifier_are_shown_the_surest_first(show: Callable[..., Text], count: int):
    task = Classification(classes=("bad", "good"), max_length=16)
    labels = ["good", "good", "bad"] * 3

    def scores(instances: TaskInstances[Any]) -> Tensor:
        logits = F.one_hot(instances.targets, 2) * 4.0
        logits[0] = torch.tensor([2.0, 0.0])
        if count > 1:
            logits[4] = torch.tensor([3.0, 0.0])
        return logits

    page = show(task, _texts(labels[:count]), scores)
    assert "predicted bad (88.1%), true label good (11.9%)" in page.text
    assert "a <good> film 0" in page.text
    assert "dev.tsv, row 0" in page.text
    if count > 1:
        assert page.text.index("predicted bad (95.3%)") < page.text.index("predicted bad (88.1%)")
        assert "When to say good" in page.text


def test_more_classes_than_can_be_read_are_those_with_errors(show: Callable[..., Text]):
    names = tuple(f"class-{place:02}" for place in range(30))
    wrong = {"class-03": 7, "class-29": 5}
    task = Classification(classes=names, max_length=16)

    def scores(instances: TaskInstances[Any]) -> Tensor:
        said = [wrong.get(name, place) for place, name in enumerate(names)]
        return F.one_hot(torch.tensor(said), 30) * 9.0

    page = show(task, _texts(names), scores)
    assert "The 24 of 30 with the most errors" in page.text
    assert "class-03 taken for class-07, 1 times" in page.text


def test_labels_have_a_row_each_and_errors_come_the_surest_first(show: Callable[..., Text]):
    task = MultiLabel(classes=("calm", "joy", "<rare>"), max_length=16, thresholds=(0.5, 0.75, 0.5))
    labels = [["joy"], [], ["calm", "joy"], ["calm"]]
    logits = torch.tensor([[0.0, 1.0, -9.0], [-9.0, 2.0, -9.0], [9.0, 9.0, -9.0], [9.0, -9.0, -9.0]])
    page = show(task, _texts(labels), lambda instances: logits)
    assert "2 labels are given and wrong, 1 are missed" in page.text
    assert "predicted joy (88.1%); true labels none" in page.text
    assert "predicted calm (50.0%); true labels joy (73.1%)" in page.text
    assert page.text.index("true labels none") < page.text.index("true labels joy (73.1%)")
    assert "How far to trust the probabilities" in page.text
    assert "<rare>0.0000.0000.0000.5000.00000" in "".join(page.text.split())


def test_scores_are_shown_against_labels(show: Callable[..., Text]):
    page = show(
        Regression(max_length=16), _texts([1.0, 2.0, 5.0]), lambda instances: torch.tensor([[1.5], [2.0], [3.0]])
    )
    assert "Mean absolute error 0.833" in page.text
    assert "0.500 too little" in page.text
    assert page.text.index("predicted 3.00, true score 5.00 (-2.00)") < page.text.index(
        "predicted 1.50, true score 1.00 (+0.50)"
    )


def test_choices_stand_with_their_probabilities(show: Callable[..., Text]):
    questions = ChoiceQuestions(
        tuple(
            ChoiceQuestion(
                question=f"film {place}", choices=("good", "bad", "so long")[: 2 + place], right=1, place="f"
            )
            for place in range(2)
        )
    )
    page = show(
        MultipleChoice(max_length=16), questions, lambda instances: torch.tensor([[0.0], [9.0], [2.0], [0.0], [0.0]])
    )
    assert "The worst of 1 errors" in page.text
    assert "good (78.7%)" in page.text
    assert page.marks[-2:] == ["wrong", "missed"]


def test_answers_are_right_in_part_wrong_or_missed(show: Callable[..., Text], tiny_model: Path):
    given = ["good film", "good film", "so long", None]
    said = [("good", "film"), ("good", "good"), ("plot", "plot"), None]
    questions = Questions(
        tuple(
            Question(
                id=str(place),
                question=f"what film {place}",
                context=CONTEXT,
                answers=() if text is None else (find_answer(CONTEXT, text, None),),
                place=f"question {place}",
            )
            for place, text in enumerate(given)
        )
    )
    tokenizer = Tokenizer.from_pretrained(tiny_model)
    words = CONTEXT.split()

    def scores(instances: TaskInstances[Any]) -> Tensor:
        logits = torch.zeros(int(instances.row_bounds[-1]), 2)
        for number, pair in enumerate(said):
            first = int(instances.row_bounds[number])
            if pair is None:
                logits[first] = 9.0
                continue
            before = first + int(instances.text_starts[number])
            ends = np.cumsum([len(tokenizer.pieces([word]).ids) for word in words])
            logits[before + int(ends[words.index(pair[0])]) - len(tokenizer.pieces([pair[0]]).ids), 0] = 9.0
            logits[before + int(ends[words.index(pair[1])]) - 1, 1] = 9.0
        return logits

    page = show(SpanExtraction(max_length=40, impossible=True, threshold=0.0), questions, scores)
    assert "Of 4 answers 2 are right, 1 in part and 1 wrong" in page.text
    assert "When to give no answer" in page.text
    # "plot" for "so long" comes first, then "good" for "good film", then what is right
    assert page.marks[4:] == ["wrong", "missed", "partly", "missed", "right"]
    assert "without one1" in "".join(page.text.split("\n"))  # a row of the table


def test_entities_are_counted_by_type_and_coloured(show: Callable[..., Text]):
    words = ("long", "film", "was", "good", "film")
    text, spans = joined(words)
    sentences = Sentences(
        (Sentence.of_text(text, spans, ("B-PER", "I-PER", "O", "O", "B-ORG"), "dev.conll, row 1"),) * 2
    )
    task = Tagging(classes=("O", "B-LOC", "I-LOC", "B-PER", "I-PER"), max_length=16)
    said = ["B-PER", "I-PER", "B-LOC", "O", "O"] * 2

    def scores(instances: TaskInstances[Any]) -> Tensor:
        logits = torch.zeros(len(instances.scored), 5)
        places = torch.tensor([task.classes.index(tag) for tag in said])
        logits[torch.from_numpy(np.flatnonzero(instances.scored))] = F.one_hot(places, 5) * 3.0
        return logits

    page = show(task, sentences, scores)
    assert page.marks[4:] == ["right", "wrong", "missed"] * 2
    assert "(not in training)" in page.text
    assert "2 of 2 sentences have a wrong tag" in page.text


def test_tags_that_mean_no_entities_are_coloured_where_they_are_wrong(show: Callable[..., Text]):
    text, spans = joined(("a", "film"))
    sentences = Sentences((Sentence.of_text(text, spans, ("DT", "NN"), "dev.conll, row 1"),))
    task = Tagging(classes=("DT", "NN"), max_length=16, metric_names=("accuracy",))
    page = show(task, sentences, lambda instances: torch.tensor([[1.0, 0.0]]).repeat(len(instances.scored), 1))
    assert page.marks[4:] == ["wrong"]
    assert "DT, is NN" in page.text


def test_the_curve_over_the_threshold_is_what_each_threshold_gives():
    chances, is_class = np.array([0.9, 0.2, 0.6, 0.6, 0.4]), np.array([True, True, False, True, False])
    curve = ThresholdCurve.of(chances, is_class)
    for threshold, precision, recall in zip(curve.thresholds, curve.precision, curve.recall, strict=True):
        said = chances >= threshold
        assert precision == pytest.approx((said & is_class).sum() / said.sum())
        assert recall == pytest.approx((said & is_class).sum() / is_class.sum())
    assert curve.at(0.5) == (pytest.approx(2 / 3), pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert curve.at(0.95) == (0.0, 0.0, 0.0)


def test_the_curve_over_the_null_threshold_is_what_the_evaluation_says():
    generator = np.random.default_rng(0)
    odds = np.array([-1.0, 0.5, 0.5, 2.0, np.inf])
    found = AnswerEvaluation(
        given=generator.random((5, 2)),
        withheld=generator.random((5, 2)),
        null_odds=odds,
        has_answer=np.array([True, False, True, True, False]),
    )
    curve = NullCurve.of(found)
    assert curve.thresholds.tolist() == [-1.0, 0.5, 2.0]
    for threshold, f1, exact in zip(curve.thresholds, curve.f1, curve.exact, strict=True):
        figures = found.figures(threshold)
        assert (f1, exact) == (pytest.approx(figures["f1"]), pytest.approx(figures["exact"]))
