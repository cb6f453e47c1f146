"""The objective of pre-training, masked LM and next sentence, and the watch for runs that learn nothing of it."""
# T tokens, V vocabulary.

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch.nn import functional as F

from bertkit.data.instances.batches import PretrainingBatch
from bertkit.model.pretraining import PretrainingModel, PretrainingOutput
from bertkit.model.size import training_flops
from bertkit.training.loop import Advice
from bertkit.training.step import LossTerm

MASKED_LM, NEXT_SENTENCE = "masked_lm", "next_sentence"
"""Names of the terms of the loss."""


class PretrainingObjective:
    """Mean cross-entropy over the predicted positions plus, where the model has the head, over the pairs.

    `next_sentence_weight` scales the second; the paper's is 1.
    """

    may_split = True

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

    def outputs(self, micro_batch: PretrainingBatch) -> PretrainingOutput:
        """States of the masked positions, and next-sentence logits."""
        outputs: PretrainingOutput = self.module(micro_batch.inputs, micro_batch.masked_positions)
        return outputs

    def terms(self, micro_batch: PretrainingBatch, outputs: PretrainingOutput) -> Mapping[str, LossTerm]:
        """Losses and right answers."""
        total, correct = self.module.masked_loss(outputs.masked_states, micro_batch.masked_labels)
        terms = {MASKED_LM: LossTerm(total, correct, has_perplexity=True)}
        if (labels := micro_batch.next_sentence_labels) is not None:
            logits = outputs.next_sentence_logits
            assert logits is not None
            right = (logits.detach().argmax(-1) == labels).sum()
            total = F.cross_entropy(logits.float(), labels, reduction="sum")
            terms[NEXT_SENTENCE] = LossTerm(total, right, self.next_sentence_weight)
        return terms


_FIRST_STEP = 400
"""Every run passes through this plateau; before, there is nothing to say."""
_SHARE = 0.88
"""Of the entropy: a model that guesses still copies the predicted tokens that are not masked."""
_LEAST_GAIN = 0.01
"""Share by which the loss falls over a third of a run that learns."""


def unigram_entropy(counts: NDArray[np.int64]) -> float:
    """Entropy in nats of the frequencies with `counts` (V,): the loss of guessing without looking at the context."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


class UnigramPlateau:
    """Watches the masked-LM loss of a run's log lines for a plateau near the entropy of its words' frequencies."""

    def __init__(self, entropy: float) -> None:
        self._entropy = entropy
        self._seen: list[tuple[int, float]] = []
        self._next_step = _FIRST_STEP

    def __call__(self, step: int, figures: Mapping[str, float | None]) -> Advice | None:
        """What to say where the run is stuck by `step`; it is said again only after twice as many steps.

        A loss that is not finite, which `metrics.jsonl` has as null, says nothing.
        """
        loss = figures[f"{MASKED_LM}_loss"]
        if loss is None or not math.isfinite(loss):
            return None
        self._seen.append((step, loss))
        if step < self._next_step:
            return None
        third = step / 3
        before = [loss for at, loss in self._seen if third < at <= 2 * third]
        lately = [loss for at, loss in self._seen if at > 2 * third]
        if not before or not lately:
            return None
        now = float(np.mean(lately))
        if now <= _SHARE * self._entropy or now <= (1 - _LEAST_GAIN) * float(np.mean(before)):
            return None
        self._next_step = 2 * step
        return Advice(
            message=f"the loss {loss:.2f} stays near {self._entropy:.2f}, the entropy of the words' frequencies: the "
            "model guesses without context; try --initial-weights informed, a smaller --batch-size, a longer "
            "--warmup-share or another --learning-rate",
            kind="stuck",
            figures={"masked_lm_loss": loss, "unigram_entropy": self._entropy},
        )
