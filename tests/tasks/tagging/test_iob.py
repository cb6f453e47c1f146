"""Against `conlleval`'s rules, written down once more as the script walks over the words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertkit.tasks.tagging.iob import (
    Entity,
    EntityCounts,
    entities,
    entity_scores,
    is_entity_tags,
    loose_starts,
    mostly_entities,
    needless_begins,
    to_iob2,
)

TAGS = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "I-MISC-x"])
SENTENCES = st.lists(st.lists(st.tuples(TAGS, TAGS), max_size=9), max_size=5)


def split_tag(tag: str) -> tuple[str, str]:
    return (tag, "") if tag == "O" else (tag.split("-", 1)[0], tag.split("-", 1)[1])


def start_of_chunk(before: str, tag: str, type_before: str, type_: str) -> bool:
    starts = (before, tag) in {("B", "B"), ("I", "B"), ("O", "B"), ("O", "I")}
    return starts or (tag != "O" and type_before != type_)


def end_of_chunk(before: str, tag: str, type_before: str, type_: str) -> bool:
    ends = (before, tag) in {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O")}
    return ends or (before != "O" and type_before != type_)


def conlleval(sentences: list[list[tuple[str, str]]]) -> dict[str, float]:
    """The script's loop: (gold, guessed) tags of all words, an O between sentences."""
    correct = found_correct = found_guessed = 0
    in_correct = False
    last_gold = last_guess = ("O", "")
    words = [pair for sentence in sentences for pair in [*sentence, ("O", "O")]]
    for gold_tag, guess_tag in words:
        gold, guess = split_tag(gold_tag), split_tag(guess_tag)
        if in_correct:
            ends_gold = end_of_chunk(last_gold[0], gold[0], last_gold[1], gold[1])
            ends_guess = end_of_chunk(last_guess[0], guess[0], last_guess[1], guess[1])
            if ends_gold and ends_guess and last_guess[1] == last_gold[1]:
                in_correct = False
                correct += 1
            elif ends_gold != ends_guess or guess[1] != gold[1]:
                in_correct = False
        starts_gold = start_of_chunk(last_gold[0], gold[0], last_gold[1], gold[1])
        starts_guess = start_of_chunk(last_guess[0], guess[0], last_guess[1], guess[1])
        if starts_gold and starts_guess and gold[1] == guess[1]:
            in_correct = True
        found_correct += starts_gold
        found_guessed += starts_guess
        last_gold, last_guess = gold, guess
    precision = correct / found_guessed if found_guessed else 0.0
    recall = correct / found_correct if found_correct else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"f1": f1, "precision": precision, "recall": recall}


@given(sentences=SENTENCES)
def test_entities_are_counted_as_conlleval_does(sentences: list[list[tuple[str, str]]]):
    gold = [[pair[0] for pair in sentence] for sentence in sentences]
    guessed = [[pair[1] for pair in sentence] for sentence in sentences]
    assert entity_scores(guessed, gold) == pytest.approx(conlleval(sentences))


@given(sentences=SENTENCES)
def test_a_type_is_counted_as_if_there_were_no_other(sentences: list[list[tuple[str, str]]]):
    gold = [[pair[0] for pair in sentence] for sentence in sentences]
    guessed = [[pair[1] for pair in sentence] for sentence in sentences]
    counts = EntityCounts.by_label(guessed, gold)
    for label in ("PER", "LOC", "MISC-x"):
        alone = [[tuple(tag if tag.endswith(label) else "O" for tag in pair) for pair in one] for one in sentences]
        one = counts.get(label, EntityCounts())
        assert {"f1": one.f1, "precision": one.precision, "recall": one.recall} == pytest.approx(conlleval(alone))


@given(tags=st.lists(TAGS, max_size=12))
def test_iob2_means_the_same_entities_and_breaks_nothing(tags: list[str]):
    fixed = to_iob2(tags)
    assert entities(fixed) == entities(tags)
    assert loose_starts(fixed) == []
    assert to_iob2(fixed) == fixed


@given(tags=st.lists(TAGS, max_size=12))
def test_iob1_has_a_begin_only_between_touching_entities(tags: list[str]):
    fixed = to_iob2(tags)
    before = [None, *(None if tag == "O" else tag[2:] for tag in fixed)]
    first = [
        f"I{tag[1:]}" if tag[0] == "B" and kind != tag[2:] else tag for tag, kind in zip(fixed, before, strict=False)
    ]
    assert needless_begins(first) == []
    assert to_iob2(first) == fixed
    assert len(needless_begins(fixed)) == len(loose_starts(first))


def test_single_and_end_tags_are_read():
    assert entities(["S-PER", "B-LOC", "I-LOC", "E-LOC", "O", "U-ORG", "B-ORG", "L-ORG"]) == [
        Entity("PER", 0, 1),
        Entity("LOC", 1, 4),
        Entity("ORG", 5, 6),
        Entity("ORG", 6, 8),
    ]


def test_tags_without_types_are_entities_and_parts_of_speech_are_none():
    assert to_iob2(["I", "I", "O", "B", "B"]) == ("B", "I", "O", "B", "B")
    assert is_entity_tags(["O", "B", "I"])
    assert not is_entity_tags(["NN", "O"])
    assert not is_entity_tags(["LS", "S"])


def test_a_few_other_tags_among_entities_are_slips_and_tags_without_entities_are_none():
    assert mostly_entities(["O", "O", "B-PER", "X-PER"])
    assert mostly_entities(["O", "O"])
    assert not mostly_entities(["O", "O", "O", "PER", "LOC", "B-LOC"])
    assert not mostly_entities(["NN", "VBZ", "O"])
