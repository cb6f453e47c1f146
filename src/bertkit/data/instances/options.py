"""Options of training sequences: how they are cut, masked, and grow during a run.

Apart from what uses them, since the command line shows them at `--help`, before NumPy and tokenizers are imported.
"""

from __future__ import annotations

from dataclasses import dataclass

from bertkit.core.arguments import checked
from bertkit.core.errors import InputError


@checked
@dataclass(frozen=True, kw_only=True)
class InstanceOptions:
    """How documents are cut into training sequences."""

    seq_length: int = 128
    """Tokens of the longest sequence, with special tokens."""

    short_seq_prob: float = 0.1
    """Share of the documents that are cut into sequences of a random shorter length."""

    next_sentence: bool = True
    """Pairs of segments for next-sentence prediction; otherwise one segment a sequence."""

    def __post_init__(self) -> None:
        if not 8 <= self.seq_length <= 1 << 14:
            raise InputError(f"seq_length must lie between 8 and {1 << 14}, got {self.seq_length}")
        if not 0 <= self.short_seq_prob <= 1:
            raise InputError(f"short_seq_prob must lie in [0, 1], got {self.short_seq_prob}")

    @property
    def num_special_tokens(self) -> int:
        """[CLS] and one [SEP] a segment."""
        return 3 if self.next_sentence else 2

    @property
    def max_num_tokens(self) -> int:
        """Longest sequence in tokens, special ones not counted."""
        return self.seq_length - self.num_special_tokens


@checked
@dataclass(frozen=True, kw_only=True)
class MaskingOptions:
    """Which tokens are hidden for masked-LM training, and how."""

    select_rate: float = 0.15
    """Share of a sequence's tokens to predict; [CLS] and [SEP] count, but are never chosen."""

    mask_rate: float = 0.8
    """Share of the chosen tokens that become [MASK]."""

    random_rate: float = 0.1
    """Share of the chosen tokens that become a random entry of the vocabulary; the others stay."""

    whole_word: bool = False
    """Mask all pieces of a word or none."""

    max_predictions: int | None = None
    """Predictions per sequence at most; no limit unless given (BERT's limits, 20 at length 128 and 80 at 512, are never
    reached at 15 %)."""

    def __post_init__(self) -> None:
        if not 0 < self.select_rate < 1:
            raise InputError(f"select_rate must lie in (0, 1), got {self.select_rate}")
        if self.mask_rate < 0 or self.random_rate < 0 or self.mask_rate + self.random_rate > 1:
            raise InputError(
                f"mask_rate and random_rate must be shares that sum to at most 1, "
                f"got {self.mask_rate} and {self.random_rate}"
            )
        if self.max_predictions is not None and self.max_predictions < 1:
            raise InputError(f"max_predictions must be at least 1, got {self.max_predictions}")


@checked
@dataclass(frozen=True, kw_only=True)
class StageOptions:
    """How a run grows; by default it does not."""

    ramp_from: int | None = None
    """Batch size of the first updates; it doubles until it is the batch size. Without effect unless smaller than
    that."""

    ramp_share: float = 0.3
    """Share of the run over which the batch grows: of its steps, or of its time in a run with a budget of time."""

    long_seq_length: int | None = None
    """Longest sequence in the last phase of the run; unless given, the sequence length stays."""

    long_share: float = 0.1
    """Share of the steps that the last phase, with long sequences, has."""

    def __post_init__(self) -> None:
        for name in ("ramp_share", "long_share"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} must lie in (0, 1), got {getattr(self, name)}")
        if self.ramp_from is not None and self.ramp_from < 1:
            raise InputError(f"ramp_from must be at least 1, got {self.ramp_from}")


@checked
@dataclass(frozen=True, kw_only=True)
class StaticOptions:
    """The options and defaults of google-research/bert's create_pretraining_data.py."""

    seq_length: int = 128
    """Tokens of the longest sequence, with special tokens."""

    dupe_factor: int = 10
    """How often every document is cut and masked."""

    short_seq_prob: float = 0.1
    """Share of the documents that are cut into sequences of a random shorter length."""

    masked_lm_prob: float = 0.15
    """Share of a sequence's tokens to predict; [CLS] and [SEP] count, but are never chosen."""

    max_predictions_per_seq: int = 20
    """Predictions per sequence at most: 20 at length 128, 80 at 512."""

    whole_word: bool = False
    """Mask all pieces of a word or none."""

    random_seed: int = 12345
    """Seed of the random stream that every draw comes from."""

    def __post_init__(self) -> None:
        if self.dupe_factor < 1:
            raise InputError(f"dupe_factor must be at least 1, got {self.dupe_factor}")
        if not 0 < self.masked_lm_prob < 1:
            raise InputError(f"masked_lm_prob must lie in (0, 1), got {self.masked_lm_prob}")
        if self.max_predictions_per_seq < 1:
            raise InputError(f"max_predictions_per_seq must be at least 1, got {self.max_predictions_per_seq}")
        _ = self.instances

    @property
    def instances(self) -> InstanceOptions:
        """How documents are cut."""
        return InstanceOptions(seq_length=self.seq_length, short_seq_prob=self.short_seq_prob)

    @property
    def masking(self) -> MaskingOptions:
        """What is hidden."""
        return MaskingOptions(
            select_rate=self.masked_lm_prob, whole_word=self.whole_word, max_predictions=self.max_predictions_per_seq
        )
