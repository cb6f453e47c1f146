"""SQuAD's scores of an answer: exact match and F1 of words."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@lru_cache(maxsize=1 << 17)
def normalize_answer(text: str) -> str:
    """Lower case, without ASCII punctuation and articles, single spaces (Rajpurkar et al. 2016)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def score_answer(prediction: str, answers: Sequence[str], *, may_be_impossible: bool) -> tuple[float, float]:
    """Exact match and F1, each the best over the answers.

    As the official evaluation of 1.1 or, with `may_be_impossible`, of 2.0 counts them. In 2.0 an answer that is empty
    once normalised does not count; a question left with none wants an empty prediction.
    """
    if may_be_impossible:
        answers = [answer for answer in answers if normalize_answer(answer)] or [""]
    pairs = [(normalize_answer(prediction), normalize_answer(answer)) for answer in answers]
    exact = max((float(ours == theirs) for ours, theirs in pairs), default=0.0)
    f1 = max((_f1(ours, theirs, empty_is_right=may_be_impossible) for ours, theirs in pairs), default=0.0)
    return exact, f1


def _f1(prediction: str, answer: str, *, empty_is_right: bool) -> float:
    ours, theirs = prediction.split(), answer.split()
    if empty_is_right and not (ours and theirs):
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    if not common:
        return 0.0
    precision, recall = common / len(ours), common / len(theirs)
    return 2 * precision * recall / (precision + recall)
