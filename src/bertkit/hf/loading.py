"""Weights of the drop-in classes: read from a folder by Transformers' names, or drawn at random."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from bertkit.core.errors import InputError
from bertkit.model.initialization import initialize
from bertkit.pretrained.folder import LoadReport, check_values
from bertkit.pretrained.formats.bert import BERT
from bertkit.pretrained.weights import find_weights, read_tensors

_READ_LATER: ContextVar[bool] = ContextVar("weights are read from a file later", default=False)
_DRAWN = "_bertkit_drawn"
"""Attribute of modules that have their weights."""


@contextmanager
def weights_from_file() -> Iterator[None]:
    """Draw no weights while a model is built whose weights are read afterwards."""
    token = _READ_LATER.set(True)
    try:
        yield
    finally:
        _READ_LATER.reset(token)


def mark_drawn(modules: Iterable[nn.Module]) -> None:
    """Let `draw_weights` skip these modules."""
    for module in modules:
        setattr(module, _DRAWN, True)


@torch.no_grad()
def draw_weights(model: nn.Module, standard_deviation: float) -> None:
    """Draw the weights of every layer that has none yet, seeded by torch's default generator."""
    if _READ_LATER.get():
        return
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding | nn.LayerNorm) and not getattr(module, _DRAWN, False):
            initialize(module, standard_deviation, seed=int(torch.randint(2**62, ())))
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
            mark_drawn([module])


_NAMES = replace(BERT.names, rows=())
"""From old names of tensors to Transformers' present ones, which these classes have."""


@dataclass(frozen=True)
class Loaded:
    """Which tensors were read, which were drawn, and which did not fit."""

    report: LoadReport
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    """Name, shape in the file, shape in the model; these tensors were drawn too."""

    def loading_info(self) -> dict[str, object]:
        """Transformers' dictionary of `output_loading_info`."""
        mismatched = {name for name, *_ in self.mismatched}
        return {
            "missing_keys": {name for name in self.report.made if name not in mismatched},
            "unexpected_keys": set(self.report.left),
            "mismatched_keys": set(self.mismatched),
            "error_msgs": [],
        }


def load_weights(
    model: nn.Module,
    folder: Path,
    *,
    prefix: str,
    tied: frozenset[str],
    standard_deviation: float,
    ignore_mismatched_sizes: bool,
) -> Loaded:
    """Fill `model` from a folder, and draw the tensors that the folder lacks.

    A file may have `prefix` before the model's names; `tied` are names of tensors that have another name too. Raises
    `InputError` for a tensor of another shape, unless `ignore_mismatched_sizes` says to draw it.
    """
    file = find_weights(folder)
    wanted = {name: tensor for name, tensor in model.state_dict().items() if name not in tied}
    translation = _NAMES.read(read_tensors(file), [prefix + name for name in wanted])
    found = {name.removeprefix(prefix): tensor for name, tensor in translation.found.items()}
    mismatched = tuple(
        (name, tuple(tensor.shape), tuple(wanted[name].shape))
        for name, tensor in found.items()
        if tensor.shape != wanted[name].shape
    )
    if mismatched and not ignore_mismatched_sizes:
        name, stored, asked = mismatched[0]
        raise InputError(
            f"{file}: {name} has shape {stored} but the model {asked}: give the configuration of that folder, or "
            "ignore_mismatched_sizes=True to draw such tensors at random"
        )
    for name, *_ in mismatched:
        del found[name]
    if not found:
        raise InputError(f"{file} has no tensor of this model: give the folder of a BERT")
    made = tuple(name for name in wanted if name not in found)
    lacking = {name.rpartition(".")[0] for name in made}
    mark_drawn(module for name, module in model.named_modules() if name not in lacking)
    draw_weights(model, standard_deviation)
    for name, tensor in found.items():
        check_values(file, name, tensor)
    model.load_state_dict(found, strict=False)
    return Loaded(LoadReport(path=file, taken=tuple(found), left=translation.left, made=made), mismatched)


@torch.no_grad()
def resize_rows(table: Tensor, rows: int, new_rows: str | float) -> Tensor:
    """Shorten or extend the first dimension; new rows are the "mean" of all, or drawn with that standard deviation."""
    made = table.new_empty(rows, *table.shape[1:])
    common = min(rows, len(table))
    made[:common] = table[:common]
    if isinstance(new_rows, float):
        made[common:].normal_(0.0, new_rows)
    else:
        made[common:] = table.float().mean(0).to(table.dtype)
    return made
