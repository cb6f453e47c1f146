"""Where the sequences of a packed batch lie, for an encoder with rotary positions."""

from __future__ import annotations

from bertkit.foundation.packed_batch import PackedBatch
from bertkit.model.modern_config import ModernBertConfig
from bertkit.model.rotary import Rotation
from bertkit.model.sequence_layout import SequenceLayout


class RotaryLayout(SequenceLayout):
    """A layout with the rotations of layers that see the whole sequence and of those that see a window."""

    def __init__(self, batch: PackedBatch, config: ModernBertConfig) -> None:
        super().__init__(batch)
        self._everywhere = Rotation.of(batch.position_ids, config.head_size, config.global_rope_theta)
        self._nearby = Rotation.of(batch.position_ids, config.head_size, config.local_rope_theta)

    def rotation(self, window: int | None) -> Rotation:
        """That of a layer with this window."""
        return self._everywhere if window is None else self._nearby
