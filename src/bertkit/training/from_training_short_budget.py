"""A budget of time that does not hold one step."""

from __future__ import annotations

from bertkit.foundation.durations import format_duration
from bertkit.foundation.errors import InputError


class ShortBudgetError(InputError):
    """Says where the time goes: to what is `prepared` before the first step, and to a `step`, in seconds."""

    def __init__(self, budget: float, *, prepared: float, step: float = 0.0) -> None:
        why = f"{prepared:.1f} s to prepare, {step:.1f} s a step"
        if prepared >= budget:
            why = f"preparations alone took {prepared:.1f} s"
        super().__init__(
            f"budget {format_duration(budget)} is too short for one step ({why}): "
            "give more, or a smaller batch or model"
        )
