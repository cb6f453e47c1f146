"""A report as data (sections of paragraphs, plots, tables), and how it is written as one HTML page."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from bertkit.core.outputs import output_file
from bertkit.training.run_folder import flat

_TEMPLATE = "report.html.jinja"


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """Running text; parts between backquotes are set as code."""

    text: str
    kind: str = "paragraph"


@dataclass(frozen=True, kw_only=True)
class Plots:
    """SVG elements side by side where there is room, with a common caption."""

    svgs: Sequence[str]
    caption: str
    kind: str = "plots"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text under a head; all columns after the first `text_columns` are right-aligned numbers."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    text_columns: int = 1
    kind: str = "table"


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A confusion matrix (C, C), row = true class, column = predicted class, shaded by the share of the row."""

    labels: Sequence[str]
    counts: Sequence[Sequence[int]]
    caption: str
    kind: str = "matrix"


@dataclass(frozen=True, kw_only=True)
class Commands:
    """Shell lines with a button that copies them."""

    text: str
    caption: str = ""
    kind: str = "commands"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Part of a text: plain, or of `kind` "right", "partly" (right), "wrong" or "missed" with its `label`."""

    text: str
    kind: str = ""
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A text in pieces, with lines above (`head`) and below (`note`) it."""

    pieces: Sequence[Piece]
    head: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Passages:
    """Texts in which predictions are highlighted."""

    passages: Sequence[Passage]
    caption: str = ""
    kind: str = "passages"

    @property
    def are_marked(self) -> bool:
        """Whether a legend of the colours is needed."""
        return any(piece.kind for passage in self.passages for piece in passage.pieces)


Block = Paragraph | Plots | Table | Matrix | Commands | Passages


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and the blocks under it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One number for the top of the page."""

    value: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """The content of a page."""

    title: str
    lead: str
    notice: str = ""
    """A warning above everything else."""
    facts: Sequence[Fact]
    sections: Sequence[Section]
    footer: str = ""


def write_report(path: Path, report: Report, *, inputs: Collection[str | Path] = (), overwrite: bool = True) -> None:
    """Write the page, whole or not at all; see `core.outputs`. The page of a run is the run's own to replace."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"code": _with_code, "svg": Markup, "share": _share}
    source = resources.files("bertkit.reports").joinpath(_TEMPLATE).read_text(encoding="utf-8")
    page = environment.from_string(source).render(report=report)
    with output_file(path, inputs=inputs, overwrite=overwrite) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _with_code(text: str) -> Markup:
    """Escape, and set every other part between backquotes as code."""
    parts = [Markup.escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(parts))


def _share(count: int, row: Sequence[int]) -> int:
    """Percent of the row's sum."""
    return round(100 * count / max(1, sum(row)))


def settings_section(config: Mapping[str, Any]) -> Section:
    """A table of all options of `config.yaml` by their dotted names."""
    rows = [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in flat(config).items()
    ]
    table = Table(head=("option", "value"), rows=rows, text_columns=2, caption="As in `config.yaml`.")
    return Section(title="Settings", blocks=[table])
