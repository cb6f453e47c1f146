"""Embedded tokens through the layers."""
# T tokens, R rows that are read, B sequences, H hidden, A heads, S longest sequence.

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from bertkit.model.row_padding import pad_rows
from bertkit.model.sequence_layout import SequenceLayout


@dataclass(frozen=True)
class EncodedTokens:
    """What the layers give: the last one's (T, H), or those of the rows that are read, and what was asked for."""

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None
    """All (T, H) from the embeddings on."""
    attentions: tuple[Tensor, ...] | None
    """(B, A, S, S) for each layer, 0 where there is no token."""


def encode(
    embedded: Tensor,
    layers: nn.ModuleList,
    layout: SequenceLayout,
    *,
    rows: Tensor | None = None,
    output_hidden_states: bool = False,
    output_attentions: bool = False,
) -> EncodedTokens:
    """Run (T, H) through layers that are called as `BertLayer` is.

    Where only `rows` (R,) of the last layer are read, it computes no others: most of that layer's work is in them.
    """
    tokens = len(embedded) if rows is None else len(rows)
    hidden, kept = pad_rows(embedded), [embedded]
    attentions: list[Tensor] | None = [] if output_attentions else None
    for depth, layer in enumerate(layers, start=1):
        hidden = layer(hidden, layout, attentions, rows if depth == len(layers) else None)
        if output_hidden_states:
            kept.append(hidden[: len(embedded)])
    return EncodedTokens(
        hidden[:tokens],
        tuple(kept) if output_hidden_states else None,
        None if attentions is None else tuple(attentions),
    )
