from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertkit.core.errors import InputError
from bertkit.tasks.contract import IGNORED, Definition
from bertkit.tasks.options import Columns, TaskOptions
from bertkit.tasks.predictions import EntitySpan, TagsPrediction
from bertkit.tasks.tagging.files import Document, Sentence, Sentences, joined
from bertkit.tasks.tagging.task import Tagging
from bertkit.text.tokenizer import Tokenizer

CLASSES = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
TASK = Tagging(classes=CLASSES, max_length=12)
WORDS = ("fox", "foxes", "zoo", "the", "\u0007", "é", "zoofox")
SENTENCES = st.lists(
    st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(CLASSES)), min_size=1, max_size=14),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fox", "##es", "the", "zoo", "##fox", "x", "y", "z"]
    path.write_text("\n".join(entries) + "\n")
    return Tokenizer.from_pretrained(path, lowercase=True)


def _document(*sentences: list[tuple[str, str]]) -> Sentences:
    document = Document(tuple(word for sentence in sentences for word, _ in sentence))
    found, first = [], 0
    for number, sentence in enumerate(sentences):
        text, spans = joined(tuple(word for word, _ in sentence))
        tags, last = tuple(tag for _, tag in sentence), first + len(sentence)
        place = f"file, row {number}"
        found.append(
            Sentence(document=document, first=first, last=last, text=text, spans=spans, tags=tags, place=place)
        )
        first = last
    return Sentences(tuple(found))


@cache
def _pieces(tokenizer: Tokenizer, word: str) -> list[int]:
    return tokenizer.encode(word).input_ids[1:-1].tolist() or [tokenizer.unk_token_id]


@settings(max_examples=80, deadline=None)
@given(sentences=SENTENCES, context=st.sampled_from(["sentence", "document"]), max_length=st.integers(4, 16))
def test_every_word_is_scored_once_at_its_first_piece(
    tokenizer: Tokenizer, sentences: list[list[tuple[str, str]]], context, max_length: int
):
    task = Tagging(classes=CLASSES, max_length=max_length, context=context)
    examples = _document(*sentences)
    instances = task.encode(examples, tokenizer)
    assert instances.targets is not None
    assert instances.scored is not None
    ids = np.concatenate([sequence.input_ids for sequence in instances.sequences])
    first_pieces = [_pieces(tokenizer, word)[0] for sentence in sentences for word, _ in sentence]
    assert ids[instances.scored].tolist() == first_pieces
    tags = [CLASSES.index(tag) for sentence in sentences for _, tag in sentence]
    assert instances.targets[torch.from_numpy(instances.scored)].tolist() == tags
    assert (instances.targets[torch.from_numpy(~instances.scored)] == IGNORED).all()
    whole = [piece for sentence in sentences for word, _ in sentence for piece in _pieces(tokenizer, word)]
    for sequence in instances.sequences:
        body = sequence.input_ids[1:-1].tolist()
        assert len(body) <= max_length - 2
        assert any(whole[start : start + len(body)] == body for start in range(len(whole)))
        if context == "document" and len(whole) >= max_length - 2:
            assert len(body) == max_length - 2
    torch.manual_seed(0)
    logits = torch.randn(len(ids), len(CLASSES))
    logits[torch.from_numpy(instances.scored), torch.tensor(tags)] = 9.0
    predictions = task.decode(logits.numpy(), instances)
    for prediction, sentence in zip(predictions, examples.items, strict=True):
        assert isinstance(prediction, TagsPrediction)
        assert prediction.words == sentence.words
    figures = task.scorer.scores(logits, instances)
    assert figures["accuracy"] == 1.0
    assert figures["f1"] in (0.0, 1.0)


def test_neighbours_stand_on_both_sides_of_a_sentence_as_far_as_there_is_room(tokenizer: Tokenizer):
    sentences = [[(letter, "O")] for letter in ("x", "the", "fox", "zoo", "y", "z")]
    task = Tagging(classes=CLASSES, max_length=5, context="document")
    instances = task.encode(_document(*sentences), tokenizer)
    bodies = [tokenizer.decode(sequence.input_ids) for sequence in instances.sequences]
    assert bodies == ["x the fox", "x the fox", "the fox zoo", "fox zoo y", "zoo y z", "zoo y z"]
    apart = TASK.encode(_document(*sentences), tokenizer)
    assert [len(sequence) for sequence in apart.sequences] == [3] * 6


def test_a_sentence_keeps_its_context_when_it_is_taken_alone(tokenizer: Tokenizer):
    task = Tagging(classes=CLASSES, max_length=5, context="document")
    document = _document([("x", "O")], [("fox", "O")], [("zoo", "O")])
    (sequence,) = task.encode(document.take([1]), tokenizer).sequences
    assert tokenizer.decode(sequence.input_ids) == "x fox zoo"


def test_entities_are_given_in_the_characters_of_the_text(tokenizer: Tokenizer):
    text = "the  Fox,  zoo"
    instances = TASK.encode(TASK.examples([text]), tokenizer, labelled=False)
    assert instances.scored is not None
    logits = torch.zeros(len(instances.scored), len(CLASSES))
    rows = np.flatnonzero(instances.scored)
    for row, tag in zip(rows, ("I-PER", "I-PER", "O", "B-LOC"), strict=True):
        logits[row, CLASSES.index(tag)] = 50.0
    (prediction,) = TASK.decode(logits.numpy(), instances)
    assert prediction == TagsPrediction(
        ("the", "Fox", ",", "zoo"),
        ("B-PER", "I-PER", "O", "B-LOC"),
        (1.0,) * 4,
        (EntitySpan("PER", "the  Fox", 0, 8, 1.0), EntitySpan("LOC", "zoo", 11, 14, 1.0)),
    )
    assert prediction.fields() == ["the  Fox (PER, 0-8), zoo (LOC, 11-14)"]


def test_an_empty_text_has_no_words(tokenizer: Tokenizer):
    instances = TASK.encode(TASK.examples(["", "fox"]), tokenizer, labelled=False)
    first, second = TASK.decode(np.zeros((5, len(CLASSES)), np.float32), instances)
    assert first == TagsPrediction((), (), (), ())
    assert isinstance(second, TagsPrediction)
    assert second.tags == ("O",)
    assert second.probabilities == pytest.approx((1 / len(CLASSES),))


def test_lists_of_words_stay_as_they_are(tokenizer: Tokenizer):
    (example,) = TASK.examples([["the zoo", "fox"]]).items
    assert (example.words, example.text) == (("the zoo", "fox"), "the zoo fox")
    with pytest.raises(InputError, match="text 1 is 3"):
        TASK.examples(["fox", 3])


def test_tags_that_training_lacks_are_counted_and_missed(tokenizer: Tokenizer):
    instances = TASK.encode(_document([("fox", "B-ORG"), ("zoo", "B-LOC")]), tokenizer)
    assert "1 words have tags that training lacks (B-ORG)" in instances.warnings[0]
    assert instances.targets is not None
    assert TASK.count(instances.targets) == 1
    logits = torch.zeros(4, len(CLASSES))
    logits[2, 1] = 1.0
    assert TASK.scorer.scores(logits, instances) == {
        "f1": pytest.approx(2 / 3),
        "precision": 1.0,
        "recall": 0.5,
        "accuracy": 0.5,
    }


def _define(*tags: str) -> Tagging:
    train = _document([("fox", tag) for tag in tags])
    options = TaskOptions(context="document")
    return Tagging.define(train, Definition(max_length=9, columns=Columns(), options=options))


def test_the_tags_of_training_are_completed_for_entities_and_taken_as_they_are_otherwise():
    task = _define("B-PER", "O", "B-LOC", "I-LOC")
    assert (task.classes, task.context) == (CLASSES, "document")
    words = _define("VB", "NN", "O")
    assert (words.classes, words.metric_names) == (("NN", "O", "VB"), ("accuracy",))
    with pytest.raises(InputError, match="at least 2 tags"):
        _define("O", "O")
    with pytest.raises(InputError, match="measure accuracy"):
        Tagging(classes=("NN", "VB"), max_length=9)


def test_tags_by_chance_are_one_for_all_words(tokenizer: Tokenizer):
    examples = _document([("fox", "B-PER"), ("the", "O"), ("zoo", "B-LOC")], [("zoo", "B-LOC")])
    chance = TASK.scorer.chance(TASK.encode(examples, tokenizer))
    # Always B-LOC finds four entities, of which two are right.
    assert chance == pytest.approx({"f1": 4 / 7, "precision": 0.5, "recall": 2 / 3, "accuracy": 0.5})
