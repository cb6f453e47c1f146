"""How the layers of an encoder learn: layer-wise learning-rate decay, gradual unfreezing, and freezing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import nn

from bertkit.core.errors import InputError
from bertkit.model.encoder import Encoder
from bertkit.training.optimizers import ParameterSchedule


def layerwise_schedules(
    module: nn.Module, bert: Encoder, *, decay: float, first_steps: Sequence[int] | None = None
) -> Mapping[str, ParameterSchedule]:
    """Schedules of the parameters of `bert` by their names in `module`; what is not named learns as the run does.

    The last layer's rate, with the norm behind it where there is one, is `decay` times the full one, that of the layer
    below `decay`**2 times, and so on to the embeddings. The pooler and the head learn at the full rate (Howard and
    Ruder 2018, section 3.2; with one factor a layer as in Clark et al. 2020, appendix B, and Zhang et al. 2021, section
    7). `first_steps` say when each layer, from the top down, and the embeddings begin to learn; what is frozen stays
    so.
    """
    from_the_top = [nn.ModuleList([bert.layers[-1], bert.final_norm]), *reversed(bert.layers[:-1]), bert.embeddings]
    first_steps = [0] * len(from_the_top) if first_steps is None else first_steps
    schedules = {
        id(parameter): ParameterSchedule(rate_factor=decay**depth, first_step=first_step)
        for depth, (part, first_step) in enumerate(zip(from_the_top, first_steps, strict=True), 1)
        for parameter in part.parameters()
        if parameter.requires_grad
    }
    return {name: schedules[id(p)] for name, p in module.named_parameters() if id(p) in schedules}


def joining_epochs(parts: int, epochs: int) -> list[int]:
    """The epoch (from 0) in which each of so many parts begins to learn, from the top down.

    None of them learns in the first epoch, which is the head's; then one joins an epoch (Howard and Ruder 2018, section
    3.3). Where there are fewer epochs several join at once, so that all learn in the last.
    """
    return [1 + part * (epochs - 1) // max(parts, epochs - 1) for part in range(parts)]


_LAYERS = re.compile(r"layers:(\d+)(?:-(\d+))?")


def freeze(bert: Encoder, parts: Sequence[str]) -> None:
    """Take the gradients from `embeddings`, `layers:3`, `layers:0-5` (both ends included), or `encoder` for all these.

    The pooler is never frozen. A part may name several, separated by commas. What is frozen from the bottom up costs
    no backward pass. Raises `InputError` for other names and for layers that the model lacks.
    """
    for part in (name.strip() for names in parts for name in names.split(",")):
        for module in _modules(bert, part):
            module.requires_grad_(False)


def _modules(bert: Encoder, part: str) -> list[nn.Module]:
    layers = list(bert.layers)
    if part == "embeddings":
        return [bert.embeddings]
    if part == "encoder":
        return [bert.embeddings, *layers, bert.final_norm]
    match = _LAYERS.fullmatch(part)
    if match is None:
        raise InputError(f"freeze {part!r} is unknown: use embeddings, encoder, layers:3 or layers:0-5")
    first = int(match[1])
    last = int(match[2] or first)
    if not first <= last < len(layers):
        raise InputError(f"freeze {part!r} does not fit the model, whose layers are 0-{len(layers) - 1}")
    return layers[first : last + 1]
