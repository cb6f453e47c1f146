"""Layers that keep no activations."""

from __future__ import annotations

from functools import partial

from torch.utils.checkpoint import checkpoint

from bertkit.model.bert import BertModel


def recompute_layers(bert: BertModel) -> None:
    """Let the backward pass run each layer again from its input (Chen et al. 2016), with the same dropout.

    Losses and gradients are the same bits.
    """
    for layer in bert.layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
