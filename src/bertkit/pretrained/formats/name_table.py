"""How a format names tensors, classes and the keys of `config.json`: the ordered translation table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from bertkit.core.errors import InputError
from bertkit.core.lazy import lazy_module
from bertkit.core.records import from_json
from bertkit.model.config import BertConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")

_FUSED = "query_key_value"

Rows = tuple[tuple[str, str], ...]
"""Patterns and their replacements; the first that matches is applied."""


@dataclass(frozen=True)
class Translation:
    """Stored tensors in our names, and the stored names that nobody asked for."""

    found: dict[str, Tensor]
    left: tuple[str, ...]
    untied: tuple[str, ...]
    """Those of `left` that differ from the tensor that they should be tied to."""


@dataclass(frozen=True, kw_only=True)
class NameTable:
    """From our names to a format's, where query, key and value are three tensors."""

    rows: Rows
    """From our names to the format's."""
    endings: Rows = ()
    """Applied to the results of `rows`, for formats that name weights and biases in another way."""
    parts: tuple[str, str, str] = ("query", "key", "value")
    """What replaces `query_key_value`."""
    spellings: Rows = ()
    """From names that older or other programs write to those that `rows` give; all that match are applied."""
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
                renamed[foreign] = (part.t() if self.is_transposed(foreign) else part).contiguous()
        return renamed

    def read(self, stored: Mapping[str, Tensor], wanted: Iterable[str]) -> Translation:
        """Find those of our names that are `wanted` among the stored tensors."""
        spelled, others = self.spelled(stored)
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

    def spelled(self, stored: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
        """The stored name behind every name that `foreign` gives, and the `foreign` name of those spelled otherwise."""
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
        return spelled, others

    def is_transposed(self, foreign: str) -> bool:
        """Whether a matrix of this name has inputs as rows."""
        return re.search(self.transposed, foreign) is not None

    def _standard(self, name: str) -> str:
        for pattern, replacement in self.spellings:
            name = re.sub(pattern, replacement, name)
        return name

    def _tensor(self, stored: Mapping[str, Tensor], name: str, standard: str) -> Tensor:
        return stored[name].t() if self.is_transposed(standard) else stored[name]


SEQUENCE_CLASSIFICATION = "BertForSequenceClassification"
MULTIPLE_CHOICE = "BertForMultipleChoice"
WITH_POOLER_OF_THEIR_OWN = (SEQUENCE_CLASSIFICATION, MULTIPLE_CHOICE)
"""Classes that have a pooler even where the encoder has none."""


def config_of(kind: type[BertConfig], values: Mapping[str, Any], theirs: Mapping[str, str]) -> BertConfig:
    """The configuration of values that a file has; raises `InputError` with the file's own name of an entry."""
    try:
        return from_json(kind, dict(values))
    except InputError as error:
        name, _, what = str(error).partition(" ")
        raise InputError(f"{theirs.get(name, name)} {what}") from None


@dataclass(frozen=True, kw_only=True)
class ModelFormat:
    """Tensor names, class names and the keys of `config.json`; our own names for classes are BERT's."""

    class_prefix: str
    names: NameTable
    config_type: type[BertConfig] = BertConfig
    names_of_class: Mapping[str, NameTable] = field(default_factory=dict)
    """Of classes, in BERT's name, that name their tensors in another way."""
    mask_token: str = "[MASK]"
    """As the tokenizers of this format write it."""
    config_keys: tuple[tuple[str, str], ...] = ()
    """Our key and the format's, where they differ."""
    unset: Mapping[str, Any] = field(default_factory=dict)
    """What a key that is missing means, where it is not our own default."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """What the format has no key for."""
    written: Mapping[str, Any] = field(default_factory=dict)
    """Keys that older versions of Transformers ask for, whatever the configuration is."""
    required: Mapping[str, Any] = field(
        default_factory=lambda: {"position_embedding_type": "absolute", "is_decoder": False}
    )
    """The only values that keys may have, if they are there."""

    def names_for(self, architecture: str) -> NameTable:
        """The table for a class, in BERT's name."""
        return self.names_of_class.get(architecture, self.names)

    def class_name(self, architecture: str) -> str:
        """Hugging Face's name of BERT's class `architecture` for this format."""
        if architecture == "BertForPreTraining" and self.class_prefix != "Bert":
            architecture = "BertForMaskedLM"  # only BERT learns from the next sentence
        return self.class_prefix + architecture.removeprefix("Bert")

    def architecture(self, class_name: str) -> str:
        """BERT's name of the format's class."""
        return "Bert" + class_name.removeprefix(self.class_prefix)

    def read_config(self, description: Mapping[str, Any]) -> BertConfig:
        """The architecture that `config.json` describes; raise `InputError` for what our encoder is not."""
        for key, wanted in self.required.items():
            if description.get(key, wanted) != wanted:
                raise InputError(f"{key} is {description[key]!r}: only {wanted!r} can be loaded")
        theirs = dict(self.config_keys)
        values = dict(self.unset)
        for each in fields(self.config_type):
            key = theirs.get(each.name, each.name)
            if description.get(key) is not None:
                values[each.name] = description[key]
        return config_of(self.config_type, values | {"model_type": self.config_type.model_type, **self.fixed}, theirs)

    def describe_config(self, config: BertConfig) -> dict[str, Any]:
        """The keys of `config.json`."""
        theirs = dict(self.config_keys)
        values = {name: value for name, value in asdict(config).items() if name not in self.fixed}
        return {theirs.get(name, name): value for name, value in values.items()} | dict(self.written)
