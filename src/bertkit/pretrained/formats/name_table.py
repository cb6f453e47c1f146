"""Our tensor names in another project's words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

_FUSED = "query_key_value"

Rows = tuple[tuple[str, str], ...]
"""Patterns and what stands in their place; the first that matches is the one."""


@dataclass(frozen=True)
class Translation:
    """Stored tensors in our names, and the stored names that nobody asked for."""

    found: dict[str, Tensor]
    left: tuple[str, ...]
    untied: tuple[str, ...]
    """Those of `left` that say another thing than the tensor that they should be tied to."""


@dataclass(frozen=True, kw_only=True)
class NameTable:
    """From our names to a format's, where query, key and value are three tensors."""

    rows: Rows
    """From our names to the format's."""
    endings: Rows = ()
    """Applied to what `rows` gave, for formats that name weights and biases in their own way."""
    parts: tuple[str, str, str] = ("query", "key", "value")
    """What stands for `query_key_value`."""
    spellings: Rows = ()
    """From names that older or other writers use to those that `rows` give; all that match apply."""
    unused: str = r"(?!)"
    """Pattern of stored tensors that are no weights."""
    transposed: str = r"(?!)"
    """Pattern of the format's matrices that have inputs as rows."""

    def foreign(self, name: str) -> tuple[str, ...]:
        """The names under which the format keeps our tensor `name`: one, or three for query, key and value."""
        for table in (self.rows, self.endings):
            for pattern, replacement in table:
                name, count = re.subn(pattern, replacement, name)
                if count:
                    break
        return tuple(name.replace(_FUSED, part) for part in self.parts) if _FUSED in name else (name,)

    def write(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename a state dict of ours."""
        renamed = {}
        for name, tensor in tensors.items():
            names = self.foreign(name)
            for foreign, part in zip(names, tensor.chunk(len(names)), strict=True):
                renamed[foreign] = (part.t() if re.search(self.transposed, foreign) else part).contiguous()
        return renamed

    def read(self, stored: Mapping[str, Tensor], wanted: Iterable[str]) -> Translation:
        """Find those of our names that are `wanted` among the stored tensors."""
        spelled: dict[str, str] = {}
        others: dict[str, str] = {}
        for name in stored:
            if not re.search(self.unused, name):
                standard = self._standard(name)
                if standard == name:
                    spelled[name] = name
                else:
                    others[name] = standard
        for name, standard in others.items():
            spelled.setdefault(standard, name)
        found: dict[str, Tensor] = {}
        taken: set[str] = set()
        for name in wanted:
            foreign = self.foreign(name)
            if all(part in spelled for part in foreign):
                tensors = [self._tensor(stored, spelled[part], part) for part in foreign]
                found[name] = torch.cat(tensors) if len(tensors) > 1 else tensors[0]
                taken.update(spelled[part] for part in foreign)
        repeated = {name for name, standard in others.items() if spelled[standard] in taken - {name}}
        untied = {name for name in repeated if not torch.equal(stored[name], stored[spelled[others[name]]])}
        left = [name for name in (*spelled.values(), *untied) if name not in taken]
        return Translation(found, tuple(sorted(left)), tuple(sorted(untied)))

    def _standard(self, name: str) -> str:
        for pattern, replacement in self.spellings:
            name = re.sub(pattern, replacement, name)
        return name

    def _tensor(self, stored: Mapping[str, Tensor], name: str, standard: str) -> Tensor:
        return stored[name].t() if re.search(self.transposed, standard) else stored[name]
