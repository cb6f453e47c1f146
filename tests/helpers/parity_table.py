"""The largest differences between bertkit and the originals that a run of the tests found."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

RELATIVE = "largest difference / largest value"


@dataclass
class _Row:
    bound: float
    measure: str
    largest: float = 0.0
    cases: int = 0


@dataclass
class ParityTable:
    """One row for each thing compared; a test asks for the fixture `parity_table` and calls `check`."""

    _rows: dict[tuple[str, str, str], _Row] = field(default_factory=dict, repr=False)

    def check(
        self,
        what: str,
        path: str,
        kind: str,
        difference: float,
        bound: float,
        measure: str = RELATIVE,
        *,
        cases: int = 1,
    ) -> None:
        """Count what was compared, and fail where the difference is over the bound or no number.

        `path` is the part of bertkit that was run, `kind` the precision, the option or the reference.
        """
        row = self._rows.setdefault((what, path, kind), _Row(bound, measure))
        row.cases += cases
        row.largest = math.nan if math.isnan(difference) else max(row.largest, difference)
        assert difference <= bound, f"{what}, {path}, {kind}: {difference:.3g}, over {bound:g} ({measure})"

    def __str__(self) -> str:
        lines = ["| what | path | kind | largest | bound | cases | measure |", "| --- " * 7 + "|"]
        for (what, path, kind), row in self._rows.items():
            figure = f"{row.largest:.2g}" if row.largest else "0"
            lines.append(f"| {what} | {path} | {kind} | {figure} | {row.bound:g} | {row.cases:,} | {row.measure} |")
        return "\n".join(lines)

    def __bool__(self) -> bool:
        return bool(self._rows)
