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

    def describe(self) -> str:
        """In one line."""
        parts = [f"{self.steps:,} steps", f"{self.tokens:,} tokens"]
        if self.loss is not None:
            parts.append(f"held-out loss {self.loss:.3f}")
        parts.append(f"{self.memory / 2**20:,.0f} MiB")
        if self.kilowatt_hours is not None:
            parts.append(f"{self.kilowatt_hours:.3g} kWh")
        if self.price is not None:
            parts.append(f"price {self.price:.2f}")
        return ", ".join(parts)
