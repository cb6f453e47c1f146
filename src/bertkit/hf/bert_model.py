"""The encoder with the interface of Transformers' `BertModel`."""
# B sequences, S columns, T rows that are computed, H hidden.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bertkit.core.errors import InputError
from bertkit.hf.batches import PackedInputs, PaddedInputs
from bertkit.hf.layers import BertEmbeddings, BertEncoder
from bertkit.hf.outputs import BaseModelOutputWithPooling, ModelOutput
from bertkit.hf.pretrained import BertPreTrainedModel
from bertkit.model.bert import BERT
from bertkit.model.encoder import encode

_DECODERS = ("encoder_hidden_states", "encoder_attention_mask", "past_key_values", "head_mask")


@dataclass(frozen=True)
class Encoded:
    """What heads get: hidden states (T, H), or (B, H) if only the pooler needs them, and the pooler's output (B, H)."""

    inputs: PackedInputs
    hidden: Tensor
    pooled: Tensor | None
    extras: dict[str, tuple[Tensor, ...] | None]
    """`hidden_states` and `attentions`, padded; None unless asked for."""


class BertModel(BertPreTrainedModel):
    """Transformers' `BertModel`."""

    def __init__(self, config: Any, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = BertEmbeddings(self.architecture, getattr(self.config, "pad_token_id", None))
        self.encoder = BertEncoder(self.architecture)
        self.pooler = BERT.pooler(self.architecture) if add_pooling_layer else None
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **options: Any,
    ) -> ModelOutput | tuple[Any, ...]:
        """Hidden states (B, S, H), 0 at padding, and the pooler's output (B, H)."""
        padded = PaddedInputs(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.encode(padded, options)
        output = BaseModelOutputWithPooling(
            last_hidden_state=encoded.inputs.restore(encoded.hidden), pooler_output=encoded.pooled, **encoded.extras
        )
        return self.return_output(output, options)

    def encode(
        self,
        padded: PaddedInputs,
        options: dict[str, Any],
        *,
        output_positions: Tensor | None = None,
        pooled_alone: bool = False,
    ) -> Encoded:
        """Compute the rows that are tokens, that the pooler reads, or that are true in `output_positions` (B, S).

        With `pooled_alone`, the last layer is computed for the pooler's rows only.
        """
        for name in _DECODERS:
            if options.get(name) is not None:
                raise InputError(f"{name} is not supported: this is an encoder without cross-attention and head masks")
        most = self.architecture.max_position_embeddings
        if padded.shape[1] > most and padded.position_ids is None:
            raise InputError(f"{padded.shape[1]} columns do not fit max_position_embeddings {most}: truncate the texts")
        inputs = PackedInputs.pack(padded, output_positions, reads_first=self.pooler is not None)
        first = inputs.batch.cu_seqlens[:-1]
        output_hidden_states = self._asked("output_hidden_states", options)
        pooled_alone = pooled_alone and not output_hidden_states
        tokens = encode(
            self.embeddings(inputs.batch, inputs.word_vectors),
            self.encoder.layer,
            inputs.layout,
            rows=first if pooled_alone else None,
            output_hidden_states=output_hidden_states,
            output_attentions=self._asked("output_attentions", options),
        )
        hidden = tokens.last_hidden_state
        pooled = None if self.pooler is None else self.pooler(hidden if pooled_alone else hidden[first])
        extras = {
            "hidden_states": None if tokens.hidden_states is None else tuple(map(inputs.restore, tokens.hidden_states)),
            "attentions": None
            if tokens.attentions is None
            else tuple(map(inputs.restore_attention, tokens.attentions)),
        }
        return Encoded(inputs, hidden, pooled, extras)

    def return_output(self, output: ModelOutput, options: dict[str, Any]) -> ModelOutput | tuple[Any, ...]:
        """The output, or its fields as a tuple if `return_dict` is False."""
        return output if self._asked("return_dict", options) else output.to_tuple()

    def _asked(self, name: str, options: dict[str, Any]) -> bool:
        value = options.get(name)
        return bool(getattr(self.config, name) if value is None else value)
