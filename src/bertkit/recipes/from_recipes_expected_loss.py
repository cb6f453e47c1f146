"""The held-out loss that a short run is likely to end with."""

from __future__ import annotations

import math

from bertkit.recipes.pretrain_options import PretrainOptions

_GAIN = 0.5
_FIRST_TOKENS = 75_000
"""Fitted to the run of docs/results.md, whose evaluations from 0.5 to 3.8 million tokens it meets to 0.06."""

RULE = f"unigram entropy - {_GAIN} ln(1 + tokens / {_FIRST_TOKENS:,}), fitted to runs of `mini` on 0.5 to 4 M tokens"


def expected_loss(options: PretrainOptions, unigram_entropy: float, tokens: float) -> float | None:
    """Masked-LM loss after so many tokens, or None where nothing like it was measured.

    A run that starts from random weights stands still at the unigram entropy for millions of tokens, for how many
    nobody knows; only those with informed initial weights learn from the start.
    """
    if options.initial_weights != "informed":
        return None
    return unigram_entropy - _GAIN * math.log1p(tokens / _FIRST_TOKENS)
