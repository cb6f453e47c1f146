"""Decides which updates are skipped: those without finite numbers, and spikes."""
# W steps that are remembered.

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from bertkit.core.console import note
from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import DivergedError

_REMEMBERED, _NEEDED = 128, 64
"""Steps whose losses and norms tell what is usual, and how many of them it takes."""
_MOST_IN_A_ROW = 8
"""Steps without finite numbers after which a run is lost."""


class StepGuard:
    """Vetoes a step whose loss or gradient norm is NaN or infinite, or a spike.

    A spike is over the mean of the last 128 steps by more than `spike_deviations` of their standard deviations, as in
    OLMo 2 (Walsh et al. 2024); None lets them pass. All is judged on the device, from sums over the processes of
    `group`: the CPU never waits for it, and all processes decide alike.
    """

    def __init__(self, group: ProcessGroup, spike_deviations: float | None) -> None:
        self._group, self._deviations = group, spike_deviations
        self._recent = torch.full((2, _REMEMBERED), torch.nan, device=group.device)  # (2, W) losses and norms
        self._counts = torch.zeros(3, dtype=torch.int64, device=group.device)  # broken, spikes, broken in a row
        self._told = [0, 0]

    @torch.no_grad()
    def veto(self, step: int, loss: Tensor, norm: Tensor) -> Tensor:
        """1.0 where the update is to be skipped, else 0.0; `loss` is this process's share, the norm that of all."""
        seen = self._group.add_up(torch.stack([loss.float(), norm.float() / self._group.size]))
        broken = ~seen.isfinite().all()
        spike = broken.new_zeros(())
        if self._deviations is not None:
            mean = self._recent.nanmean(1)
            deviation = (self._recent - mean[:, None]).square().nanmean(1).sqrt()
            known = (~self._recent[0].isnan()).sum() >= _NEEDED
            spike = ~broken & known & (seen > mean + self._deviations * deviation).any()
        self._recent[:, step % _REMEMBERED] = torch.where(broken, torch.nan, seen)
        in_a_row = (self._counts[2] + 1) * broken
        self._counts = torch.stack([self._counts[0] + broken, self._counts[1] + spike, in_a_row])
        return (broken | spike).float()

    def report(self, step: int, learning_rate: float) -> dict[str, float]:
        """How many steps have been left out, for the log; says so where there are new ones.

        Raises `DivergedError` where too many in a row had no finite numbers.
        """
        broken, spikes, in_a_row = self._counts.tolist()
        new_broken, new_spikes = broken - self._told[0], spikes - self._told[1]
        self._told = [broken, spikes]
        if in_a_row >= _MOST_IN_A_ROW:
            raise _diverged(step, f"loss or gradients of the last {in_a_row} steps are not finite", learning_rate)
        if new_broken:
            note(
                f"step {step}: left out {new_broken} with a loss or gradient that is not finite; "
                f"if more follow, lower learning_rate {learning_rate}"
            )
        if new_spikes:
            note(
                f"step {step}: left out {new_spikes} whose loss or gradient norm was over {self._deviations:g} "
                "deviations above the usual; if more follow, lower learning_rate or raise batch_size"
            )
        return {"steps_not_finite": broken, "steps_spiked": spikes}

    def check_end(self, step: int, learning_rate: float) -> None:
        """Raise `DivergedError` where the last step of a run had no finite numbers."""
        if in_a_row := int(self._counts[2]):
            raise _diverged(step, f"loss or gradients of the last {in_a_row} steps are not finite", learning_rate)

    def state(self) -> dict[str, Tensor]:
        """What it remembers, to be saved."""
        return {"guard.recent": self._recent, "guard.counts": self._counts}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` returned."""
        self._recent.copy_(state["guard.recent"])
        self._counts = state["guard.counts"].clone()
        self._told = self._counts.tolist()[:2]


def check_evaluation(step: int, figures: Mapping[str, float], learning_rate: float) -> None:
    """Raise `DivergedError` for figures that are not finite: the weights of the run are lost."""
    for name, value in figures.items():
        if not math.isfinite(value):
            raise _diverged(step, f"{name} is {value}", learning_rate)


def _diverged(step: int, reason: str, learning_rate: float) -> DivergedError:
    return DivergedError(
        f"training diverged by step {step}: {reason}: lower learning_rate {learning_rate} or raise warmup_share, and "
        "start again with --no-resume"
    )
