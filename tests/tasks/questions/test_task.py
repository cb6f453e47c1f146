import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bertkit.core.errors import InputError
from bertkit.tasks.benchmarks import find_benchmark
from bertkit.tasks.contract import IGNORED, Definition, TaskInstances
from bertkit.tasks.options import TaskOptions
from bertkit.tasks.predictions import AnswerPrediction
from bertkit.tasks.questions.files import Answer, Question, Questions, read_questions
from bertkit.tasks.questions.task import SpanExtraction
from bertkit.text.tokenizer import Tokenizer

TASK = SpanExtraction(max_length=16, doc_stride=4)
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
CONTEXT = "  ".join(WORDS)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "which"]) + "\n")
    return Tokenizer.from_pretrained(path, lowercase=True)


def _question(answer: str | None, context: str = CONTEXT) -> Question:
    answers = () if answer is None else (Answer(answer, context.find(answer)),)
    return Question(id="q", question="which", context=context, answers=answers, place="file, question q")


def _logits(instances: TaskInstances[Questions], tokenizer: Tokenizer, first: str, last: str) -> torch.Tensor:
    """Scores that say that the answer starts at the word `first` and ends at the word `last`, wherever they stand."""
    ids = np.concatenate([sequence.input_ids for sequence in instances.sequences])
    words = [tokenizer.token_to_id(first), tokenizer.token_to_id(last)]
    return torch.from_numpy(np.stack([(ids == word) * 9.0 for word in words], -1))


def test_an_answer_in_any_window_is_given_in_its_own_characters(tokenizer: Tokenizer):
    for first in range(len(WORDS)):
        for last in range(first, min(len(WORDS), first + 3)):
            instances = TASK.encode(Questions((_question(None),)), tokenizer, labelled=False)
            assert len(instances) > 1
            (prediction,) = TASK.decode(_logits(instances, tokenizer, WORDS[first], WORDS[last]).numpy(), instances)
            assert isinstance(prediction, AnswerPrediction)
            assert prediction.answer == "  ".join(WORDS[first : last + 1])
            assert CONTEXT[prediction.start : prediction.end] == prediction.answer
            assert prediction.n_best[0].text == prediction.answer


def test_metrics_are_means_over_the_questions_whatever_their_windows(tokenizer: Tokenizer):
    questions = Questions((_question("two  three"), _question("two", "two"), _question("nine")))
    instances = TASK.encode(questions, tokenizer)
    figures = TASK.scorer.scores(_logits(instances, tokenizer, "two", "three"), instances)
    assert figures["exact"] == pytest.approx(2 / 3)
    assert figures["f1"] == pytest.approx(2 / 3)
    assert list(figures) == list(TASK.metric_names)


def test_the_threshold_is_tuned_and_decides(tokenizer: Tokenizer):
    task = SpanExtraction(max_length=16, impossible=True, metric_names=("f1", "answerable_f1", "unanswerable_accuracy"))
    questions = Questions((_question("two", "one  two"), _question(None, "one  three")))
    instances = task.encode(questions, tokenizer)
    logits = _logits(instances, tokenizer, "two", "two")
    logits[0] += 3.0  # no answer: 6, the answer: 18
    logits[int(instances.row_bounds[1])] += 3.0  # no answer: 6, any answer: 0
    tuned = task.tuned(logits, instances)
    assert tuned.threshold is not None
    assert -12 <= tuned.threshold < 6
    assert tuned.scorer.scores(logits, instances) == {"f1": 1.0, "answerable_f1": 1.0, "unanswerable_accuracy": 1.0}
    assert task.scorer.scores(logits, instances) == tuned.scorer.scores(logits, instances)
    answers = [prediction.answer for prediction in tuned.decode(logits.numpy(), instances)]  # type: ignore[union-attr]
    assert answers == ["two", ""]


def test_the_loss_is_the_mean_of_start_and_end_without_questions_that_are_not_trained_on():
    logits = torch.randn(9, 2)
    targets, bounds = torch.tensor([[1, 2], [IGNORED, IGNORED], [0, 0]]), torch.tensor([0, 4, 6, 9])
    expected = sum(
        (F.cross_entropy(logits[a:b, 0], start) + F.cross_entropy(logits[a:b, 1], end)) / 2
        for (a, b), (start, end) in (((0, 4), targets[0]), ((6, 9), targets[2]))
    )
    torch.testing.assert_close(TASK.loss(logits, targets, bounds), expected)
    assert TASK.count(targets) == 2


def test_training_without_any_answer_is_refused():
    questions = Questions((Question(id="1", question="?", context="a", answers=(Answer("b", None),), place="row 1"),))
    given = Definition(max_length=16, columns=SpanExtraction.usual_columns)
    with pytest.raises(InputError, match="no training question has an answer"):
        SpanExtraction.define(questions, given)
    both = Questions((*questions.items, _question("two"), _question(None)))
    assert SpanExtraction.define(both, replace(given, options=TaskOptions(joint=True))).joint
    assert SpanExtraction.define(both, given).impossible


def test_a_context_of_a_megabyte_is_windows_like_any_other(tokenizer: Tokenizer):
    task = SpanExtraction(max_length=384)
    context = "one two three four " * 60_000 + "five"
    instances = task.encode(task.examples([("which", context)]), tokenizer, labelled=False)
    logits = _logits(instances, tokenizer, "five", "five")
    (prediction,) = task.decode(logits.numpy(), instances)
    assert isinstance(prediction, AnswerPrediction)
    assert (prediction.answer, prediction.start) == ("five", len(context) - 4)


def test_the_real_files_have_the_published_sizes(shared_data: Path):
    assert find_benchmark("squad2.0").name == "SQuAD-2.0"
    for name, count, impossible in (("dev-v1.1", 10_570, 0), ("dev-v2.0", 11_873, 5_945)):
        questions = read_questions(shared_data / "squad" / f"{name}.json.xz", SpanExtraction.usual_columns)
        assert len(questions) == count
        assert sum(not question.answers for question in questions.items) == impossible
        assert questions.warnings == ()


def test_an_empty_context_has_no_answer(tokenizer: Tokenizer):
    instances = TASK.encode(TASK.examples([("which", "")]), tokenizer, labelled=False)
    (prediction,) = TASK.decode(np.zeros((int(instances.row_bounds[-1]), 2), np.float32), instances)
    assert prediction == AnswerPrediction("", None, None, 0.0, ())
    assert json.dumps(prediction.n_best) == "[]"
