"""The documentation that every Python installation carries, as a corpus."""

from __future__ import annotations

import ast
import importlib
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bertkit.foundation.errors import InputError
from bertkit.studies.docstring_prose import prose_sentences

TOPICS = "topics"
"""What `DocumentedModule.package` says of a help topic."""

_LEFT_OUT = frozenset(("site-packages", "dist-packages", "test", "tests", "idle_test", "pydoc_data", "__pycache__"))
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, kw_only=True)
class DocumentedModule:
    """A module of the standard library, or a help topic, with the sentences of its documentation."""

    name: str
    """Dotted, such as email.message or topics.lambda."""
    sentences: tuple[str, ...]

    @property
    def package(self) -> str:
        """The first part of the name."""
        return self.name.partition(".")[0]


def read_python_docs(library: Path | None = None) -> list[DocumentedModule]:
    """Read the help topics, then the docstrings of the standard library's modules, in the order of their names.

    `library` is the folder of the modules, this Python's own unless given. Sources are parsed, never imported.
    Raises `InputError` where the installation has no documentation.
    """
    library = library or Path(sysconfig.get_path("stdlib"))
    documents = [document for document in (*_topics(), *_modules(library)) if document.sentences]
    if not any(document.package != TOPICS for document in documents):
        raise InputError(f"the sources in {library} hold no docstrings: use a Python that was installed with them")
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
    """Docstrings of the module, its classes, functions and methods, in the order of the file."""
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
