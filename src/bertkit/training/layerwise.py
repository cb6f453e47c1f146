"""Lower layers that learn more slowly than upper ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from bertkit.model.bert import BertModel
from bertkit.training.pace import Pace


def layer_paces(
    module: nn.Module, bert: BertModel, *, decay: float, first_steps: Sequence[int] | None = None
) -> Mapping[str, Pace]:
    """The paces of the parameters of `bert` by their names in `module`; what is not named has the pace of the run.

    The last layer's rate, with the norm behind it where there is one, is `decay` times the full one, that of the layer
    below `decay`**2 times, and so on to the embeddings. The pooler and the head learn at the full rate (Howard and
    Ruder 2018, section 3.2; with one factor a layer as in Clark et al. 2020, appendix B, and Zhang et al. 2021, section
    7). `first_steps` say when each layer, from the top down, and the embeddings begin to learn; what is frozen stays
    so.
    """
    from_the_top = [nn.ModuleList([bert.layers[-1], bert.final_norm]), *reversed(bert.layers[:-1]), bert.embeddings]
    first_steps = [0] * len(from_the_top) if first_steps is None else first_steps
    paces = {
        id(parameter): Pace(rate_factor=decay**depth, first_step=first_step)
        for depth, (part, first_step) in enumerate(zip(from_the_top, first_steps, strict=True), 1)
        for parameter in part.parameters()
        if parameter.requires_grad
    }
    return {name: paces[id(p)] for name, p in module.named_parameters() if id(p) in paces}
