"""A document as it is read, before its sentences are split."""

from __future__ import annotations

from dataclasses import dataclass

from bertkit.text.sentences import split_sentences


@dataclass(frozen=True, slots=True)
class RawDocument:
    """A document before its sentences are split; lines are sentences already where `is_split`."""

    text: str
    is_split: bool

    def sentences(self) -> list[str]:
        """Sentences without surrounding white space; empty ones are left out."""
        lines = [stripped for line in self.text.split("\n") if (stripped := line.strip())]
        if self.is_split:
            return lines
        return [sentence for line in lines for sentence in split_sentences(line)]
