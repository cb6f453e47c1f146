"""- masked LM and next sentence; its plateau detector."""
# M masked positions, B sequences, V vocabulary.
# V vocabulary.

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from bertkit.data.instances.batches import PretrainingBatch
from bertkit.model.pretraining import PretrainingModel
from bertkit.model.size import training_flops
from bertkit.training.step import MASKED_LM, LossTerm

NEXT_SENTENCE = "next_sentence"


class PretrainingObjective:
    """Mean cross-entropy over the predicted positions plus, where the model has the head, over the pairs.

    `next_sentence_weight` scales the second; the paper's is 1.
    """

    def __init__(self, module: PretrainingModel, next_sentence_weight: float = 1.0) -> None:
        self.module, self.next_sentence_weight = module, next_sentence_weight

    def counts(self, micro_batch: PretrainingBatch) -> Mapping[str, int]:
        """Predicted positions and pairs."""
        counts = {MASKED_LM: len(micro_batch.masked_labels)}
        if micro_batch.next_sentence_labels is not None:
            counts[NEXT_SENTENCE] = len(micro_batch.next_sentence_labels)
        return counts

    def tokens(self, micro_batch: PretrainingBatch) -> int:
        """T."""
        return micro_batch.inputs.num_tokens

    def flops(self, micro_batch: PretrainingBatch) -> float:
        """Operations of forward and backward."""
        bert, inputs, masked = self.module.bert, micro_batch.inputs, len(micro_batch.masked_labels)
        last_rows = masked if bert.pooler is None else masked + inputs.num_sequences
        return training_flops(bert.config, inputs.cu_seqlens, masked_positions=masked, last_rows=last_rows)

    def halves(self, micro_batch: PretrainingBatch) -> Sequence[PretrainingBatch]:
        """The first and the last half of the sequences."""
        return micro_batch.halved()

    def terms(self, micro_batch: PretrainingBatch, model: nn.Module) -> Mapping[str, LossTerm]:
        """Losses and right answers of one micro-batch, wherever it lies."""
        micro_batch = micro_batch.to(next(model.parameters()).device)
        total, correct, next_logits = model(micro_batch.inputs, micro_batch.masked_positions, micro_batch.masked_labels)
        terms = {MASKED_LM: LossTerm(total, correct)}
        if micro_batch.next_sentence_labels is not None:
            assert next_logits is not None
            labels = micro_batch.next_sentence_labels
            right = (next_logits.detach().argmax(-1) == labels).sum()
            total = F.cross_entropy(next_logits.float(), labels, reduction="sum")
            terms[NEXT_SENTENCE] = LossTerm(total, right, self.next_sentence_weight)
        return terms


_FIRST_STEP = 400
"""Every run passes through this plateau; before, there is nothing to say."""
_SHARE = 0.88
"""Of the entropy: a model that guesses still copies the predicted tokens that stand there unmasked."""
_LEAST_GAIN = 0.01
"""Share by which the loss falls over a third of a run that learns."""


def unigram_entropy(counts: NDArray[np.int64]) -> float:
    """Entropy in nats of the frequencies with `counts` (V,): the loss of guessing without looking at the context."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


class UnigramPlateau:
    """Watches the masked-LM loss of a run's log lines for a standstill about the entropy of its words' frequencies."""

    def __init__(self, entropy: float) -> None:
        self.entropy = entropy
        self._seen: list[tuple[int, float]] = []
        self._next_step = _FIRST_STEP

    def see(self, step: int, loss: float | None) -> bool:
        """Whether the run is stuck by `step`; says so again only after twice as many.

        A loss that is not finite, which `metrics.jsonl` has as null, says nothing.
        """
        if loss is None or not math.isfinite(loss):
            return False
        self._seen.append((step, loss))
        if step < self._next_step:
            return False
        third = step / 3
        before = [loss for at, loss in self._seen if third < at <= 2 * third]
        lately = [loss for at, loss in self._seen if at > 2 * third]
        if not before or not lately:
            return False
        now = float(np.mean(lately))
        stuck = now > _SHARE * self.entropy and now > (1 - _LEAST_GAIN) * float(np.mean(before))
        if stuck:
            self._next_step = 2 * step
        return stuck

    def advice(self, step: int, loss: float) -> str:
        """One line for a person."""
        return (
            f"step {step}: the loss {loss:.2f} stands still near {self.entropy:.2f}, the entropy of the words' "
            "frequencies: the model guesses without context; try --initial-weights informed, a smaller --batch-size, "
            "a longer --warmup-share or another --learning-rate"
        )
