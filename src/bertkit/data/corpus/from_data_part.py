"""A machine's part of a preparation."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bertkit.foundation.errors import InputError


@dataclass(frozen=True)
class Part:
    """Part `number` (from 1) of `of`: every `of`-th shard."""

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise InputError(f"--shard {self} does not exist: give --shard 1/{self.of} to {self.of}/{self.of}")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read "2/4"."""
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None or int(match[2]) == 0:
            raise InputError(f"--shard must be like 2/4, the second of four parts, got {text!r}")
        return cls(int(match[1]), int(match[2]))

    def has(self, index: int) -> bool:
        """Whether the shard with this number (from 0) belongs to it."""
        return index % self.of == self.number - 1

    def all(self) -> list[Part]:
        """All parts that this is one of."""
        return [Part(number, self.of) for number in range(1, self.of + 1)]
