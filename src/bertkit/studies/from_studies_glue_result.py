"""GLUE's results table: mean, deviation and best over the seeds, and the paper's figures beside them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from bertkit.recipes.finetune_result import FinetuneResult, deviation
from bertkit.tasks.glue import GLUE, GlueEntry

_HEADER = ("task", "metric", "dev, mean ± sd", "best", "seeds", "paper, base", "paper, large")


@dataclass(frozen=True)
class GlueResult:
    """What was found on dev, by benchmark, and why the others were left out."""

    results: Mapping[str, FinetuneResult]
    skipped: Mapping[str, str]
    diagnostic: Mapping[str, float] | None = None
    """Figures of MNLI's model on the diagnostic set, where it was measured."""

    def to_json(self) -> dict[str, Any]:
        """What `results.json` holds; all figures are shares, but for the paper's hundredths."""
        return {
            "table": [
                {"task": entry.name, "metric": entry.metric, "dev": values, "best": best}
                | {"mean": statistics.fmean(values), "standard_deviation": deviation(values)}
                | {"paper_base": entry.base, "paper_large": entry.large}
                for entry, values, best in self._figures()
            ],
            "diagnostic": None if self.diagnostic is None else dict(self.diagnostic),
            "skipped": dict(self.skipped),
            "runs": {name: result.to_json() for name, result in self.results.items()},
        }

    def rows(self) -> list[tuple[str, ...]]:
        """The table's cells, in hundredths as the paper has them; the last row has means over the paper's tasks."""
        figures = self._figures()
        rows: list[tuple[str, ...]] = [
            (
                entry.name,
                str(entry.metric),
                f"{100 * statistics.fmean(values):.1f} ± {100 * deviation(values):.1f}",
                f"{100 * best:.1f}",
                str(len(values)),
                *_paper(entry.base, entry.large),
            )
            for entry, values, best in figures
        ]
        if self.diagnostic is not None:
            rows.append(("AX", "matthews", "", f"{100 * self.diagnostic['matthews']:.1f}", "1", "", ""))
        shared = [(entry, values, best) for entry, values, best in figures if entry.base is not None]
        if shared:
            rows.append(
                (
                    f"average of {len(shared)}",
                    "",
                    f"{100 * statistics.fmean(statistics.fmean(values) for _, values, _ in shared):.1f}",
                    f"{100 * statistics.fmean(best for _, _, best in shared):.1f}",
                    "",
                    *_paper(
                        statistics.fmean(entry.base or 0.0 for entry, _, _ in shared),
                        statistics.fmean(entry.large or 0.0 for entry, _, _ in shared),
                    ),
                )
            )
        return rows

    def table(self) -> Table:
        """For the terminal."""
        table = Table(title="GLUE: ours on dev, the paper's on the test server")
        for name in _HEADER:
            table.add_column(name)
        for row in self.rows():
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """What `results.md` holds."""
        lines = [_HEADER, ("---",) * len(_HEADER), *self.rows()]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        skipped = "".join(f"\n{name} is left out: {reason}.\n" for name, reason in self.skipped.items())
        diagnostic = "" if self.diagnostic is None else "\nAX is the diagnostic set, answered by the model of MNLI.\n"
        return (
            "# GLUE\n\nOurs on dev: mean and standard deviation over the seeds, and the seed whose weights were kept, "
            "best by the task's first metric. The paper's (Devlin et al. 2019, table 1) are scores on the test "
            f"server, F1 for QQP and MRPC and Spearman for STS-B.\n\n{table}\n{diagnostic}{skipped}"
        )

    def _figures(self) -> list[tuple[GlueEntry, list[float], float]]:
        """Dev figures of all seeds, and that of the seed that was kept, in the paper's order."""
        return [
            (entry, result.figures("dev")[entry.metric], result.best.dev[entry.metric])
            for entry in GLUE
            if entry.metric is not None and (result := self.results.get(entry.benchmark)) is not None
        ]


def _paper(base: float | None, large: float | None) -> tuple[str, str]:
    return ("" if base is None else f"{base:.1f}", "" if large is None else f"{large:.1f}")
