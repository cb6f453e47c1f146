"""What a run with a budget comes to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """Foretold, or as it came out."""

    steps: int
    tokens: int
    loss: float | None
    """Held out; None where none was foretold."""
    memory: int
    """Bytes at the most."""
    kilowatt_hours: float | None
    price: float | None

    def figures(self) -> dict[str, str]:
        """Those that are known, as they are shown, by name."""
        figures = {"steps": f"{self.steps:,}", "tokens": f"{self.tokens:,}"}
        if self.loss is not None:
            figures["held-out loss"] = f"{self.loss:.3f}"
        figures["memory"] = f"{self.memory / 2**20:,.0f} MiB"
        if self.kilowatt_hours is not None:
            figures["energy"] = f"{self.kilowatt_hours:.3g} kWh"
        if self.price is not None:
            figures["price"] = f"{self.price:.2f}"
        return figures

    def describe(self) -> str:
        """In one line."""
        return ", ".join(f"{name} {value}" for name, value in self.figures().items())
