"""The entries that mean something to the model, and how it wants segments joined."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """A model's names for them."""

    pad: str
    unk: str
    cls: str
    sep: str
    mask: str
    between: int = 1
    """How many `sep` stand between two segments."""
    second_type: int = 1
    """Token type of the second segment."""

    @property
    def all(self) -> tuple[str, ...]:
        """Every entry, each once."""
        return (self.pad, self.unk, self.cls, self.sep, self.mask)


BERT = SpecialTokens(pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]")
ROBERTA = SpecialTokens(pad="<pad>", unk="<unk>", cls="<s>", sep="</s>", mask="<mask>", between=2, second_type=0)
