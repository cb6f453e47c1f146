import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertkit.core.errors import InputError
from bertkit.tasks.contract import IGNORED
from bertkit.tasks.questions.files import Answer, Question, Questions
from bertkit.tasks.questions.windows import encode_questions
from bertkit.text.tokenizer import Tokenizer

WORDS = ("Fox", "café", "the", "İstanbul", "(fox)", "naïve", "中文", "1,000", "\u0301", "x" * 3)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["the fox café naïve istanbul 1,000 中文 xxx ( )"] * 3, 90)


def question(asked: str, context: str, *answers: Answer) -> Question:
    return Question(id="q", question=asked, context=context, answers=answers, place="file, question q")


@settings(max_examples=80, deadline=None)
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=30),
    asked=st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join),
    span=st.tuples(st.integers(0, 29), st.integers(1, 4)),
    stride=st.integers(1, 9),
)
def test_every_piece_is_scored_once_and_the_targets_are_the_answer(
    tokenizer: Tokenizer, words: list[str], asked: str, span: tuple[int, int], stride: int
):
    context = "  ".join(words)
    first = span[0] % len(words)
    text = "  ".join(words[first : first + span[1]])
    start = len("  ".join([*words[:first], ""])) if first else 0
    item = question(asked, context, Answer(text, start))
    instances = encode_questions(
        Questions((item, item)), tokenizer, max_length=20, doc_stride=stride, max_question_length=4, labelled=True
    )
    assert instances.targets is not None
    assert instances.scored is not None
    pieces = tokenizer.encode(context).offsets[1:-1]
    for number in (0, 1):
        spans, seen, trained = [], [], False
        for index in np.flatnonzero(instances.owners == number):
            sequence = instances.sequences[index]
            rows = slice(instances.row_bounds[index], instances.row_bounds[index + 1])
            assert len(sequence) <= 20
            assert sequence.token_type_ids[instances.scored[rows]].all()
            seen += sequence.offsets[instances.scored[rows]].tolist()
            begin, end = instances.targets[index].tolist()
            trained |= begin == IGNORED
            if begin > 0:
                spans.append((int(sequence.offsets[begin, 0]), int(sequence.offsets[end, 1])))
        assert seen == pieces.tolist()
        inside = [(a, b) for a, b in pieces.tolist() if b > start and a < start + len(text)]
        assert trained == (not inside)
        for found in spans:
            assert found == (inside[0][0], inside[-1][1])
        if inside and len(inside) <= 20 - 3 - 4 - stride + 1:  # what two windows share, and one more
            assert spans


def test_a_question_whose_answer_is_not_in_its_context_is_not_trained_on(tokenizer: Tokenizer):
    items = (
        question("fox", "the café", Answer("fox", None)),
        question("fox", "the café"),
        question("fox", "the fox", Answer("fox", 4)),
    )
    options = {"max_length": 20, "doc_stride": 5, "max_question_length": 9}
    instances = encode_questions(Questions(items), tokenizer, **options, labelled=True)
    assert instances.targets is not None
    before = len(tokenizer.encode("fox")) + len(tokenizer.encode("the")) - 2
    after = before + len(tokenizer.encode("fox")) - 3
    assert instances.targets.tolist() == [[IGNORED, IGNORED], [0, 0], [before, after]]
    assert encode_questions(Questions(items), tokenizer, **options, labelled=False).targets is None


def test_an_answer_within_a_piece_is_counted(tokenizer: Tokenizer):
    instances = encode_questions(
        Questions((question("fox", "the fox", Answer("he", 1)),)),
        tokenizer,
        max_length=20,
        doc_stride=5,
        max_question_length=9,
        labelled=True,
    )
    assert len(instances.warnings) == int(len(tokenizer.encode("the")) == 3)


def test_an_empty_context_is_one_window(tokenizer: Tokenizer):
    instances = encode_questions(
        Questions((question("fox", ""),)), tokenizer, max_length=9, doc_stride=5, max_question_length=9, labelled=True
    )
    assert len(instances) == 1


def test_a_question_that_leaves_no_room_is_named(tokenizer: Tokenizer):
    items = Questions((question("fox " * 20, "the fox"),))
    with pytest.raises(InputError, match=r"question q.*no room in max_length 12"):
        encode_questions(items, tokenizer, max_length=12, doc_stride=5, max_question_length=99, labelled=False)
