"""A model folder's tensors for a model whose names are Transformers'."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from bertkit.foundation.errors import InputError
from bertkit.hf.fresh_weights import draw_weights, mark_drawn
from bertkit.model.formats.bert import BERT
from bertkit.model.load_report import LoadReport
from bertkit.model.stored_weights import find_weights, read_tensors
from bertkit.model.weight_values import check_values

_NAMES = replace(BERT.names, rows=())
"""From every spelling to Transformers' present names, which are the model's own."""


@dataclass(frozen=True)
class Loaded:
    """What became of the tensors of the file and of the model."""

    report: LoadReport
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    """Name, shape in the file, shape in the model; these are newly made too."""

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
    """Fill `model` from a folder, and draw what the folder lacks.

    `prefix` stands before the model's names in a file, `tied` are names that others of the model fill. Raises
    `InputError` for a tensor of another shape unless these are to be drawn, too.
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
            "ignore_mismatched_sizes=True to draw such tensors anew"
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
