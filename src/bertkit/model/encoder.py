"""The encoder of every architecture: embeddings, layers and pooler over packed batches; knows no disk."""
# T tokens, R of them whose output is wanted, B sequences, H hidden, A heads, S longest sequence.

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bertkit.core.batch import PackedBatch
from bertkit.model.architectures import architecture_of
from bertkit.model.config import BertConfig, ClassifierPooling
from bertkit.model.layout import SequenceLayout, pad_rows


@dataclass(frozen=True)
class EncodedTokens:
    """What the layers give: the last one's (T, H), or those of the rows that are wanted, and what was asked for."""

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

    Where only `rows` (R,) of the last layer are wanted, it computes no others: most of that layer's work is in them.
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


@dataclass(frozen=True)
class EncoderOutput:
    """`last_hidden_state` (T, H) or (R, H), the pooler's (B, H) and, where asked for, what all layers gave."""

    last_hidden_state: Tensor
    pooled: Tensor | None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    """Where asked for, each layer's probabilities (B, A, S, S), S the longest sequence, 0 where there is no token."""

    @property
    def pooler_output(self) -> Tensor:
        """(B, H) of an encoder that has a pooler."""
        assert self.pooled is not None, "this encoder has no pooler"
        return self.pooled


class Encoder(nn.Module):
    """Embeddings, encoder and, unless left out, pooler over packed batches (Devlin et al. 2019, section 3)."""

    def __init__(self, config: BertConfig, *, add_pooling_layer: bool = True) -> None:
        super().__init__()
        self.config = config
        architecture = architecture_of(config)
        self.embeddings = architecture.embeddings(config)
        self.layers = nn.ModuleList(architecture.layer(config, depth) for depth in range(config.num_hidden_layers))
        self.final_norm = architecture.final_norm(config)
        self.pooler = architecture.pooler(config) if add_pooling_layer else None
        self._layout = architecture.layout

    def forward(
        self,
        batch: PackedBatch,
        *,
        output_positions: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> EncoderOutput:
        """Encode a batch whose longest sequence fits `config.max_length`.

        `output_positions` (R,), which may be none, are the packed tokens whose last hidden states are wanted: the last
        layer computes those and what the pooler reads, and no others.
        """
        rows = None
        if output_positions is not None and not output_hidden_states:
            if self.pooler is None:
                rows = output_positions
            elif self.config.classifier_pooling == "cls":
                rows = torch.cat((batch.cu_seqlens[:-1], output_positions))
        tokens = encode(
            self.embeddings(batch),
            self.layers,
            self._layout(batch, self.config),
            rows=rows,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
        )
        hidden, layers = self.final_norm(tokens.last_hidden_state), tokens.hidden_states
        if output_positions is not None and rows is not None:
            to_pool, last = hidden.tensor_split((len(rows) - len(output_positions),))
        else:
            to_pool = _rows_to_pool(hidden, batch.cu_seqlens, self.config.classifier_pooling)
            last = hidden if output_positions is None else hidden.index_select(0, output_positions)
        pooled = None if self.pooler is None else self.pooler(to_pool)
        return EncoderOutput(last, pooled, None if layers is None else (*layers[:-1], hidden), tokens.attentions)


def _rows_to_pool(hidden: Tensor, cu_seqlens: Tensor, pooling: ClassifierPooling) -> Tensor:
    """Hidden states of [CLS], or with `mean` the mean of every sequence's tokens: (T, H) to (B, H)."""
    if pooling == "cls":
        return hidden[cu_seqlens[:-1]]
    return torch.segment_reduce(hidden, "mean", lengths=cu_seqlens.diff().long(), unsafe=True)
