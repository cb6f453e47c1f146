"""Spans of time as people write them."""

from __future__ import annotations

import re

from bertkit.foundation.errors import InputError

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(?P<d>[\d.]+)d)?(?:(?P<h>[\d.]+)h)?(?:(?P<m>[\d.]+)m)?(?:(?P<s>[\d.]+)s)?")


def parse_duration(text: str) -> float:
    """Seconds of "30m", "1h30m", "1.5h", "90s" or "2d"; raises `InputError` for anything else."""
    match = _DURATION.fullmatch(text.strip().lower())
    try:
        seconds = sum(float(number) * _UNITS[unit] for unit, number in match.groupdict("0").items()) if match else 0.0
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise InputError(f"{text!r} is no span of time: write 30m, 1h30m, 90s or 2d")
    return seconds


def format_duration(seconds: float) -> str:
    """The same in words of two units at most, such as 1h 30m."""
    whole = round(seconds)
    parts = []
    for unit, size in _UNITS.items():
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or f"{seconds:.1f}s"
