"""`bertkit plan`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, get_args

from cyclopts import Parameter

from bertkit.cli.pretraining_choices import FLAT, PretrainingChoices, Size
from bertkit.foundation.errors import InputError


def plan(
    data: Path,
    /,
    *,
    preset: Size | Literal["auto"] = "auto",
    choices: Annotated[PretrainingChoices, FLAT] = PretrainingChoices(),
    price_per_hour: float | None = None,
    watts: float | None = None,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Foretell a pre-training run of some time: size, batch, tokens, steps, loss, memory, energy and money.

    Runs some passes of every size that comes into question, a few seconds each. The other options are those of
    `bertkit pretrain`.

    Parameters
    ----------
    data
        Folder that `bertkit prepare` wrote.
    preset
        Size of the model; auto chooses it, and the batch with it.
    price_per_hour
        What the machine costs an hour, in any currency.
    watts
        What the machine draws.
    json_output
        Print the figures as JSON.
    """
    if choices.budget is None:
        raise InputError("a plan is for some time: give --budget, such as 30m")
    size: Size = "tiny" if preset == "auto" else preset
    options = choices.options(size)
    from bertkit.model.config import BertConfig
    from bertkit.recipes.pretrain_plan import plan_run

    sizes: dict[str, BertConfig] = {size: options.model}
    if preset == "auto" and choices.initial_model is None:
        sizes = {name: choices.options(name).model for name in get_args(Size)}
    planned = plan_run(data, options, sizes)
    chosen = planned[-1]
    if json_output:
        print(json.dumps([one.to_json(price_per_hour=price_per_hour, watts=watts) for one in planned], indent=2))
        return
    for one in planned[:-1]:
        print(f"measured: {one.describe()}")
    print("\n".join(chosen.lines(price_per_hour=price_per_hour, watts=watts)))
    recipe = "" if choices.recipe is None else f" --recipe {choices.recipe}"
    print(
        f"bertkit pretrain {data} --preset {chosen.size} --batch-size {chosen.batch_size}{recipe} "
        f"--budget {choices.budget} --out RUN"
    )
