"""What Transformers' classes take."""
# B sequences, S columns, H hidden.

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bertkit.foundation.errors import InputError


@dataclass(frozen=True)
class PaddedInputs:
    """`input_ids` (B, S) or `inputs_embeds` (B, S, H); the others (B, S) or (1, S), or None for Transformers' defaults.

    `attention_mask` is 0 at padding, `position_ids` are by default the columns.
    """

    input_ids: Tensor | None = None
    attention_mask: Tensor | None = None
    token_type_ids: Tensor | None = None
    position_ids: Tensor | None = None
    inputs_embeds: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.input_ids is None) == (self.inputs_embeds is None):
            raise InputError("give exactly one of input_ids and inputs_embeds")
        name, dimensions = ("input_ids", 2) if self.inputs_embeds is None else ("inputs_embeds", 3)
        if self.words.ndim != dimensions or self.words.numel() == 0:
            shape = "(B, S)" if dimensions == 2 else "(B, S, H)"
            raise InputError(f"{name} has shape {tuple(self.words.shape)}: give {shape} with at least one token")
        rows, columns = self.shape
        for name in ("attention_mask", "token_type_ids", "position_ids"):
            given = getattr(self, name)
            if given is not None and tuple(given.shape) not in ((rows, columns), (1, columns)):
                raise InputError(f"{name} has shape {tuple(given.shape)}: it has to be {(rows, columns)}")

    @property
    def words(self) -> Tensor:
        """Ids or vectors, whichever was given."""
        words = self.input_ids if self.inputs_embeds is None else self.inputs_embeds
        assert words is not None
        return words

    @property
    def shape(self) -> tuple[int, int]:
        """(B, S)."""
        return self.words.shape[0], self.words.shape[1]
