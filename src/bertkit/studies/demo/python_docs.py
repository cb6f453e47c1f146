"""English sentences from the documentation that a Python installation carries: docstrings and help topics."""

from __future__ import annotations

import ast
import importlib
import re
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bertkit.core.errors import InputError
from bertkit.text.plain_text import split_sentences

_MIN_WORDS = 3
_MIN_WORD_SHARE = 0.65
"""Share of a sentence's parts between spaces that must be words; in code it is lower."""

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
    """The sentences of a docstring, without examples, signatures, tables, headings, bullets and reST markup."""
    sentences = (sentence for paragraph in _paragraphs(text) for sentence in split_sentences(_plain(paragraph)))
    return [sentence for sentence in sentences if _is_prose(sentence)]


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs and list items, each as one line."""
    lines: list[str] = []
    indent = 0
    is_example = False
    literal_above: int | None = None  # after "::", lines that are indented further than this are code

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
    """The text of a paragraph without inline markup."""
    paragraph = _NAMED.sub("", _SIGNATURE.sub("", paragraph, count=1), count=1) if paragraph else paragraph
    for pattern, replacement in ((_ROLE, ""), (_REFERENCE, ""), (_EMPHASIS, r"\2"), (_QUOTE, "")):
        paragraph = pattern.sub(replacement, paragraph)
    return " ".join(paragraph.replace("::", ":").split())


def _is_prose(sentence: str) -> bool:
    parts = sentence.split()
    words = sum(bool(_WORD.match(part)) for part in parts)
    return words >= _MIN_WORDS and words >= _MIN_WORD_SHARE * len(parts) and bool(_SENTENCE_START.match(sentence))


TOPICS = "topics"
"""`DocumentedModule.package` of a help topic."""

_LEFT_OUT = frozenset(("site-packages", "dist-packages", "test", "tests", "idle_test", "pydoc_data", "__pycache__"))
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, kw_only=True)
class DocumentedModule:
    """The sentences in the documentation of a standard-library module or of a help topic."""

    name: str
    """Dotted, such as email.message or topics.lambda."""
    sentences: tuple[str, ...]

    @property
    def package(self) -> str:
        """The first part of the name."""
        return self.name.partition(".")[0]


def read_python_docs(library: Path | None = None) -> list[DocumentedModule]:
    """Read the help topics, then the docstrings of the standard library's modules, sorted by name.

    `library` is the folder of the modules, by default this Python's. Sources are parsed, never imported.
    Raises `InputError` if the installation has no docstrings.
    """
    library = library or Path(sysconfig.get_path("stdlib"))
    documents = [document for document in (*_topics(), *_modules(library)) if document.sentences]
    if not any(document.package != TOPICS for document in documents):
        raise InputError(f"the sources in {library} have no docstrings: use a Python that was installed with them")
    return documents


def _topics() -> Iterator[DocumentedModule]:
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    for name, text in sorted(topics.items()):
        yield DocumentedModule(name=f"{TOPICS}.{name}", sentences=tuple(prose_sentences(text)))


def _modules(library: Path) -> Iterator[DocumentedModule]:
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).with_suffix("").parts
        if _LEFT_OUT.intersection(parts) or not all(part.isidentifier() for part in parts):
            continue
        sentences = [sentence for text in _docstrings(path) for sentence in prose_sentences(text)]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield DocumentedModule(name=name, sentences=tuple(sentences))


def _docstrings(path: Path) -> list[str]:
    """Docstrings of the module, its classes, functions and methods, in their order in the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old sources have invalid escape sequences
        try:
            tree = ast.parse(path.read_bytes())
        except SyntaxError:  # templates and sources for another Python
            return []
    nodes = sorted(
        (node for node in ast.walk(tree) if isinstance(node, _DOCUMENTED)), key=lambda node: getattr(node, "lineno", 0)
    )
    return [text for node in nodes if (text := ast.get_docstring(node))]
