"""`bertkit plan`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

from cyclopts import Parameter

from bertkit.cli.pretraining_choices import FLAT, PretrainingChoices, Size
from bertkit.foundation.errors import InputError
from bertkit.recipes.machine_cost import MachineCost


def plan(
    data: Path,
    /,
    *,
    preset: Size | Literal["auto"] = "auto",
    choices: Annotated[PretrainingChoices, FLAT] = PretrainingChoices(),
    machine: Annotated[MachineCost, FLAT] = MachineCost(),
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
    typed: Annotated[Sequence[str], Parameter(parse=False)] = (),
) -> None:
    """Foretell a pre-training run of some time: size, batch, tokens, steps, loss, memory, energy and money.

    Runs some passes of every size that comes into question, a few seconds each. The other options are those of
    `bertkit pretrain`, whose command it prints.

    Parameters
    ----------
    data
        Folder that `bertkit prepare` wrote.
    preset
        Size of the model; auto chooses it, and the batch with it.
    json_output
        Print the figures as JSON.
    """
    if choices.budget is None:
        raise InputError("a plan is for some time: give --budget, such as 30m")
    options = choices.options("tiny" if preset == "auto" else preset)
    from bertkit.model.config import BertConfig
    from bertkit.recipes.pretrain_plan import plan_run

    if choices.initial_model is not None:
        sizes: dict[str, BertConfig] = {choices.initial_model.name: options.model}
    elif preset != "auto":
        sizes = {preset: options.model}
    else:
        sizes = {name: choices.options(name).model for name in get_args(Size)}
    planned = plan_run(data, options, sizes)
    chosen = planned[-1]
    if json_output:
        print(json.dumps([one.to_json(machine) for one in planned], indent=2))
        return
    for one in planned[:-1]:
        print(f"measured: {one.describe()}")
    print("\n".join(chosen.lines(machine)))
    asked = list(typed[1:])
    if preset == "auto":
        asked = _without(asked, "--preset")
    if len(sizes) > 1:
        asked = [*_without(asked, "--batch-size"), "--preset", chosen.size, "--batch-size", str(chosen.batch_size)]
    print(shlex.join(["bertkit", "pretrain", *asked, "--out", "RUN"]))


def _without(arguments: Sequence[str], option: str) -> list[str]:
    """Leave out an option and its value."""
    left, values = [], iter(arguments)
    for argument in values:
        name, equals, _ = argument.partition("=")
        if name.replace("_", "-") != option:
            left.append(argument)
        elif not equals:
            next(values)
    return left
