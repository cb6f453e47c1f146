"""How fixed instances are made."""

from __future__ import annotations

from dataclasses import dataclass

from bertkit.data.instances import InstanceOptions
from bertkit.data.masking import MaskingOptions
from bertkit.foundation.errors import InputError


@dataclass(frozen=True, kw_only=True)
class StaticOptions:
    """The options and defaults of google-research/bert's create_pretraining_data.py."""

    seq_length: int = 128
    """Longest sequence in tokens, special ones counted."""

    dupe_factor: int = 10
    """Times that every document is cut and masked anew."""

    short_seq_prob: float = 0.1
    """Share of the documents whose sequences aim at a random shorter length."""

    masked_lm_prob: float = 0.15
    """Share of a sequence's tokens to predict, [CLS] and [SEP] counted though never chosen."""

    max_predictions_per_seq: int = 20
    """Most predictions a sequence: 20 at length 128, 80 at 512."""

    whole_word: bool = False
    """Choose all pieces of a word or none."""

    random_seed: int = 12345
    """Seed of the one stream that every draw comes from."""

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
