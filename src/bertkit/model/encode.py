"""Embedded tokens through the layers."""
# T tokens, B sequences, H hidden, A heads, S longest sequence.

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from bertkit.model.row_padding import pad_rows
from bertkit.model.sequence_layout import SequenceLayout


@dataclass(frozen=True)
class EncodedTokens:
    """The last layer's (T, H) and, where asked for, all of them from the embeddings on, and what they attend to."""

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None
    """(B, A, S, S) for each layer, 0 where there is no token."""


def encode(
    embedded: Tensor,
    layers: Iterable[nn.Module],
    layout: SequenceLayout,
    *,
    output_hidden_states: bool = False,
    output_attentions: bool = False,
) -> EncodedTokens:
    """Run (T, H) through layers that are called as `BertLayer` is."""
    tokens = len(embedded)
    hidden, kept = pad_rows(embedded), [embedded]
    attentions: list[Tensor] | None = [] if output_attentions else None
    for layer in layers:
        hidden = layer(hidden, layout, attentions)
        if output_hidden_states:
            kept.append(hidden[:tokens])
    return EncodedTokens(
        hidden[:tokens],
        tuple(kept) if output_hidden_states else None,
        None if attentions is None else tuple(attentions),
    )
