"""Plots of a report, as SVG elements in the page's colours and font."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

_SIZE_INCHES = (4.7, 3.1)
_INK, _FAINT = "#010101", "#020202"
_SERIES = ("#030301", "#030302", "#030303", "#030304", "#030305")
_VARIABLES = {_INK: "--ink", _FAINT: "--line"} | {colour: f"--series-{i}" for i, colour in enumerate(_SERIES, 1)}
"""Colours that matplotlib draws with, and the CSS variables of the page that replace them."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "axes.linewidth": 0.8,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "grid.color": _FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


class Layer(Protocol):
    """One thing that is drawn on the axes of a plot."""

    @property
    def colour(self) -> int | None:
        """Index of one of the page's colours; None takes the next one."""

    def draw(self, axes: Any, colour: str) -> None:
        """Draw with matplotlib."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line; `spread` is drawn as error bars."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float] | None = None
    dashed: bool = False
    colour: int | None = None

    def draw(self, axes: Any, colour: str) -> None:
        """A line, with markers if there are few points."""
        style = {"color": colour, "linestyle": "--" if self.dashed else "-", "linewidth": 1.7, "label": self.label}
        if self.spread is None:
            marker = "o" if len(self.x) < 12 and not self.dashed else None
            axes.plot(self.x, self.y, marker=marker, markersize=4, **style)
        else:
            axes.errorbar(self.x, self.y, self.spread, capsize=3, elinewidth=1.1, marker="o", markersize=4, **style)


@dataclass(frozen=True, kw_only=True)
class Points:
    """Points of a scatter plot."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int | None = None

    def draw(self, axes: Any, colour: str) -> None:
        """Draw with matplotlib; the markers are small if there are many."""
        few = len(self.x) < 20
        axes.scatter(
            self.x,
            self.y,
            s=40 if few else 9,
            alpha=1.0 if few else 0.45,
            color=colour,
            linewidths=0,
            label=self.label,
            zorder=3,
        )


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Vertical bars of the same `width`, centred on `x`."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    width: float
    colour: int | None = None

    def draw(self, axes: Any, colour: str) -> None:
        """Draw with matplotlib, from 0."""
        axes.bar(self.x, self.y, width=self.width, color=colour, alpha=0.8, linewidth=0, label=self.label)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The label of an axis; its ticks (value, text), unless matplotlib chooses them; its limits."""

    label: str
    ticks: Sequence[tuple[float, str]] = ()
    logarithmic: bool = False
    limits: tuple[float, float] | None = None


def plot(layers: Sequence[Layer], x: Axis, y: Axis, name: str) -> str:
    """Draw layers on the same axes; return an `<svg>` element that scales to the width of its container.

    `name` makes the element's identifiers unique on a page with several plots.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        axes = figure.add_subplot()
        for number, layer in enumerate(layers):
            layer.draw(axes, _SERIES[(number if layer.colour is None else layer.colour) % len(_SERIES)])
        if x.logarithmic:
            axes.set_xscale("log")
        for axis, description in ((axes.xaxis, x), (axes.yaxis, y)):
            axis.set_label_text(description.label)
            if description.ticks:
                axis.set_ticks([place for place, _ in description.ticks], [text for _, text in description.ticks])
                axis.set_minor_locator(NullLocator())
        if x.limits:
            axes.set_xlim(*x.limits)
        if y.limits:
            axes.set_ylim(*y.limits)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[1]:
            figure.legend(loc="outside upper left", ncols=2)  # inside, it could hide a line
        return _svg(figure)


def _svg(figure: Figure) -> str:
    page = io.StringIO()
    figure.savefig(page, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = page.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return re.sub(r"font(-family)?: ([\d.]+px )?[^;\"]*sans-serif[^;\"]*", _page_font, svg)


def _page_font(match: re.Match[str]) -> str:
    """The page's font, in the size that the plot asks for."""
    return f"font: {match[2]}var(--font)" if match[2] else "font-family: inherit"
