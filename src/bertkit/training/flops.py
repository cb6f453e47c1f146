"""Floating-point operations that the model needs, counted from its matrix products alone."""
# B sequences, S tokens of a sequence, T tokens, M masked positions.

from __future__ import annotations

from torch import Tensor

from bertkit.model.config import BertConfig

_TRAINING_PASSES = 3
"""Backward costs two forward passes."""


def training_flops(config: BertConfig, cu_seqlens: Tensor, masked_positions: int) -> float:
    """Forward and backward of a packed batch (B+1 boundaries), with a masked-LM head on `masked_positions`.

    A multiplication with an addition counts as two. Attention counts S squared for each sequence; embeddings,
    norms, activations and dropout are left out (as in Kaplan et al. 2020, section 2.1).
    """
    lengths = cu_seqlens.diff().double()
    hidden, intermediate = config.hidden_size, config.intermediate_size
    layer = 4 * hidden * hidden + 2 * hidden * intermediate
    matrices = float(lengths.sum()) * layer * config.num_hidden_layers
    attention = float((lengths**2).sum()) * 2 * hidden * config.num_hidden_layers
    pooler = len(lengths) * hidden * hidden
    masked_lm = masked_positions * (hidden * hidden + hidden * config.vocab_size)
    return 2 * _TRAINING_PASSES * (matrices + attention + pooler + masked_lm)
