"""Which settings a grid search tries."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bertkit.foundation.errors import InputError
from bertkit.recipes.finetune_options import FinetuneOptions

_USUAL = FinetuneOptions()


@dataclass(frozen=True, kw_only=True)
class GridOptions:
    """Batches, rates and epochs of the paper (Devlin et al. 2019, section 4.1 and appendix A.3)."""

    batch_sizes: tuple[int, ...] = (16, 32)
    learning_rates: tuple[float, ...] = (5e-5, 4e-5, 3e-5, 2e-5)
    epochs: tuple[int, ...] = (2, 3, 4)
    restarts: int = 5
    """Seeds of the chosen setting in all, where the training set is small."""
    small_below: int = 10_000
    """Training examples from which on a set is not small: CoLA, MRPC, STS-B, RTE and WNLI are."""

    def __post_init__(self) -> None:
        for name in ("batch_sizes", "learning_rates", "epochs"):
            if not getattr(self, name):
                raise InputError(f"{name} of a grid is empty: give one value at least")

    def tried(self) -> dict[str, list[float]]:
        """All values of each option that the grid chooses."""
        return {
            "batch_size": list(self.batch_sizes),
            "learning_rate": list(self.learning_rates),
            "epochs": list(self.epochs),
        }

    def settings(self, options: FinetuneOptions) -> Iterator[FinetuneOptions]:
        """Every combination; `InputError` where `options` chooses what the grid is to choose."""
        for name in (*self.tried(), "min_steps"):
            if getattr(options, name) != getattr(_USUAL, name):
                raise InputError(f"a grid tries values of its own: leave {name} {getattr(options, name)} out")
        for batch_size, rate, epochs in itertools.product(self.batch_sizes, self.learning_rates, self.epochs):
            yield replace(options, batch_size=batch_size, learning_rate=rate, epochs=epochs)

    def seeds_of_best(self, options: FinetuneOptions, train_examples: int) -> int:
        """How many seeds the chosen setting gets."""
        return max(options.seeds, self.restarts) if train_examples < self.small_below else options.seeds


PAPER_GRID = GridOptions()
