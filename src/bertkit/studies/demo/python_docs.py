"""The plain English of a docstring or of a help topic."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bertkit.text.sentences import split_sentences

_MIN_WORDS = 3
_MIN_WORD_SHARE = 0.65
"""Of a sentence's parts between spaces; code has fewer words."""

_DOCTEST = re.compile(r">>>|\.\.\. ")
_RULE_OR_TABLE = re.compile(r"[^\w]*$|[|+]|-\[.*\]-$")
_GRAMMAR = re.compile(r"\S* *(::=|\|=)")
_DIRECTIVE = re.compile(r"\.\. |@\w+$|(def|class|import|from|return|if|for|while|with|try|print|#)\b.*[:(=]")
_ITEM = re.compile(r"([*+\u2022-]|\d+[.)]|\(\w{1,3}\)|\[\d+\]|:\w+[^:]*:)\s+")
_SIGNATURE = re.compile(r"[\w.]+\s?\([^()]*(\([^()]*\)[^()]*)*\)\s*(->\s*\S+)?\s*(--?|:|=>)?\s*(?=[A-Z]|$)")
_NAMED = re.compile(r"[\w.*]+\s*(:|--?|\u2014)\s+")
_ROLE = re.compile(r":[\w:+-]+:`")
_REFERENCE = re.compile(r"\s?\[\d+\]_?")
_EMPHASIS = re.compile(r"(?<![\w*])(\*{1,2})(?=\w)([^*]+?)(?<=\w)\1(?![\w*])")
_QUOTE = re.compile(r"``?|''")
_WORD = re.compile(r"[\"'(\[]*[A-Za-z]+(?:['\u2019-][A-Za-z]+)*[\"'.,;:!?)\]]*$")
_SENTENCE_START = re.compile(r"[\"'(]?[A-Za-z]")


def prose_sentences(text: str) -> list[str]:
    """Sentences without examples, signatures, tables, headings, item marks and reST marks."""
    sentences = (sentence for paragraph in _paragraphs(text) for sentence in split_sentences(_plain(paragraph)))
    return [sentence for sentence in sentences if _is_prose(sentence)]


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs and list items, each as one line."""
    lines: list[str] = []
    indent = 0
    is_example = False
    literal_above: int | None = None  # after "::" whatever stands further in than this is code

    for raw in [*text.expandtabs().splitlines(), ""]:
        line = raw.strip()
        depth = len(raw) - len(raw.lstrip())
        if line and literal_above is not None:
            if depth > literal_above:
                continue
            literal_above = None
        if not line:
            is_example = False
        is_example = is_example or bool(_DOCTEST.match(line))
        item = _ITEM.match(line)
        is_heading = bool(line) and bool(_RULE_OR_TABLE.match(line)) and len(lines) == 1
        skipped = is_example or any(pattern.match(line) for pattern in (_RULE_OR_TABLE, _GRAMMAR, _DIRECTIVE))
        moved = bool(lines) and depth != indent and lines[-1][-1] in ".:;!?"
        if lines and (skipped or item or moved):
            if not is_heading:
                yield " ".join(lines)
            lines = []
        if skipped:
            continue
        lines.append(line[item.end() :] if item else line)
        indent = depth + (item.end() if item else 0)
        if line.endswith("::"):
            literal_above = depth


def _plain(paragraph: str) -> str:
    """Without the marks inside a line."""
    paragraph = _NAMED.sub("", _SIGNATURE.sub("", paragraph, count=1), count=1) if paragraph else paragraph
    for pattern, replacement in ((_ROLE, ""), (_REFERENCE, ""), (_EMPHASIS, r"\2"), (_QUOTE, "")):
        paragraph = pattern.sub(replacement, paragraph)
    return " ".join(paragraph.replace("::", ":").split())


def _is_prose(sentence: str) -> bool:
    parts = sentence.split()
    words = sum(bool(_WORD.match(part)) for part in parts)
    return words >= _MIN_WORDS and words >= _MIN_WORD_SHARE * len(parts) and bool(_SENTENCE_START.match(sentence))
