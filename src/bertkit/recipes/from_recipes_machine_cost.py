"""What a machine takes while it runs."""

from __future__ import annotations

from dataclasses import dataclass, fields

from bertkit.foundation.errors import InputError


@dataclass(frozen=True, kw_only=True)
class MachineCost:
    """As far as it is known."""

    price_per_hour: float | None = None
    """What the machine costs an hour, in any currency; with --budget."""
    watts: float | None = None
    """What the machine draws; with --budget."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if (value := getattr(self, field.name)) is not None and value < 0:
                raise InputError(f"{field.name} must be at least 0, got {value}")

    def kilowatt_hours(self, seconds: float) -> float | None:
        """Energy of some time."""
        return None if self.watts is None else self.watts * seconds / 3_600_000

    def price(self, seconds: float) -> float | None:
        """Money for some time."""
        return None if self.price_per_hour is None else self.price_per_hour * seconds / 3600
