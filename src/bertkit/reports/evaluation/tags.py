"""What the page says of a tagger."""
# N sentences, W words of all sentences, C tags.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bertkit.core.arrays import run_starts, softmax
from bertkit.reports.evaluation.calibration import calibration_section
from bertkit.reports.evaluation.classes import class_table_section
from bertkit.reports.evaluation.evaluated import Evaluated, Span, marked
from bertkit.reports.page import Passage, Passages, Section, Table
from bertkit.tasks.tagging.files import Sentence
from bertkit.tasks.tagging.iob import EntityCounts, entities
from bertkit.tasks.tagging.task import Tagging

_ERRORS, _RIGHT = 15, 5
_STRANGE = "(not in training)"


def tag_sections(found: Evaluated) -> list[Section]:
    """Entities by type where tags mean them, tags, calibration, and sentences in colour."""
    assert isinstance(found.task, Tagging)
    sentences: Sequence[Sentence] = found.instances.examples.items
    logits = found.task.word_logits(found.logits.double().numpy(), found.instances)
    chances = softmax(logits)  # (W, C)
    said, confidences = chances.argmax(-1), chances.max(-1)  # (W,)
    names = list(found.task.classes)
    places = {tag: place for place, tag in enumerate(names)}
    labels = np.array([places.get(tag, len(places)) for one in sentences for tag in one.tags or ()], np.int64)
    if (labels == len(places)).any():
        names.append(_STRANGE)
    starts = run_starts(np.array([len(one.spans) for one in sentences], np.int64)).tolist()
    tags = [
        tuple(names[place] for place in said[start : start + len(one.spans)].tolist())
        for one, start in zip(sentences, starts, strict=True)
    ]
    is_right = said == labels
    surest = [
        float(np.where(is_right, 0.0, confidences)[start : start + len(one.spans)].max(initial=0.0))
        for one, start in zip(sentences, starts, strict=True)
    ]
    means_entities = found.task.means_entities
    return [
        *([_entity_table(tags, sentences)] if means_entities else []),
        class_table_section(said, labels, names, "tag"),
        calibration_section(confidences, is_right, "words"),
        _examples(sentences, tags, np.array(surest), means_entities=means_entities),
    ]


def _entity_table(tags: Sequence[Sequence[str]], sentences: Sequence[Sentence]) -> Section:
    """As `conlleval` prints it."""
    counts = EntityCounts.by_label(tags, [one.tags or () for one in sentences])
    rows = [
        (name, f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}", f"{one.wanted:,}", f"{one.found:,}")
        for name, one in [*sorted(counts.items()), ("all", sum(counts.values(), EntityCounts()))]
    ]
    head = ("type", "precision", "recall", "F1", "support", "predicted")
    caption = "An entity is right if its type and both its ends are, as `conlleval` counts."
    return Section(title="By type of entity", blocks=[Table(head=head, rows=rows, caption=caption)])


def _examples(
    sentences: Sequence[Sentence],
    tags: Sequence[Sequence[str]],
    surest: NDArray[np.float64],
    *,
    means_entities: bool,
) -> Section:
    """`surest` (N,) is the probability of the surest wrong tag of each sentence, 0 where all are right."""
    spans = _entity_spans if means_entities else _wrong_words
    wrong = np.flatnonzero(surest)
    worst = wrong[np.argsort(-surest[wrong], kind="stable")][:_ERRORS].tolist()
    passages = []
    for index in [*worst, *_spread(sentences, surest)]:
        one = sentences[index]
        found, wanted = spans(one, tags[index])
        sure = f"; surest wrong tag {surest[index]:.1%}" if surest[index] else ""
        passages.append(Passage(pieces=marked(one.text, found, wanted), note=f"{one.place}{sure}"))
    caption = (
        f"{len(wrong):,} of {len(sentences):,} sentences have a wrong tag. The surest errors come first, sentences "
        "without one last."
    )
    return Section(title="Sentences", blocks=[Passages(passages=passages, caption=caption)])


def _spread(sentences: Sequence[Sentence], surest: NDArray[np.float64]) -> list[int]:
    """Some sentences without an error but with an entity, from all over the file."""
    right = [index for index in np.flatnonzero(surest == 0).tolist() if set(sentences[index].tags or ()) - {"O"}]
    places = np.linspace(0, len(right) - 1, min(_RIGHT, len(right)))
    return [right[int(place)] for place in places]


def _entity_spans(sentence: Sentence, tags: Sequence[str]) -> tuple[list[Span], list[Span]]:
    found, wanted = (
        [Span(sentence.spans[one.first][0], sentence.spans[one.last - 1][1], one.label) for one in entities(those)]
        for those in (tags, sentence.tags or ())
    )
    return found, wanted


def _wrong_words(sentence: Sentence, tags: Sequence[str]) -> tuple[list[Span], list[Span]]:
    """Of tags that mean no entities only what is wrong is worth a colour."""
    pairs = [
        (Span(*span, ours), Span(*span, theirs))
        for span, ours, theirs in zip(sentence.spans, tags, sentence.tags or (), strict=True)
        if ours != theirs
    ]
    return [ours for ours, _ in pairs], [theirs for _, theirs in pairs]
