"""How Hugging Face keeps one kind of encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from bertkit.foundation.errors import InputError
from bertkit.model.config import BertConfig
from bertkit.model.formats.name_table import NameTable

SEQUENCE_CLASSIFICATION = "BertForSequenceClassification"
WITH_POOLER_OF_THEIR_OWN = (SEQUENCE_CLASSIFICATION, "BertForMultipleChoice")
"""Classes that have a pooler even where the encoder has none."""


@dataclass(frozen=True, kw_only=True)
class ModelFormat:
    """Tensor names, class names and the keys of `config.json`; our own names for classes are BERT's."""

    model_type: str
    class_prefix: str
    names: NameTable
    config_type: type[BertConfig] = BertConfig
    names_of_classifier: NameTable | None = None
    """Where sequence classification names its tensors in another way."""
    config_keys: tuple[tuple[str, str], ...] = ()
    """Our key and the format's, where they differ."""
    unset: Mapping[str, Any] = field(default_factory=dict)
    """What a key that is missing means, where it is not our own default."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """What the format has no key for."""
    required: Mapping[str, Any] = field(
        default_factory=lambda: {"position_embedding_type": "absolute", "is_decoder": False}
    )
    """The only values that keys may have, if they are there."""

    def names_for(self, architecture: str) -> NameTable:
        """The table for a class, in BERT's name."""
        if architecture == SEQUENCE_CLASSIFICATION and self.names_of_classifier is not None:
            return self.names_of_classifier
        return self.names

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
        return self.config_type(**(values | {"model_type": self.model_type, **self.fixed}))

    def describe_config(self, config: BertConfig) -> dict[str, Any]:
        """The keys of `config.json`."""
        theirs = dict(self.config_keys)
        values = {name: value for name, value in asdict(config).items() if name not in self.fixed}
        return {theirs.get(name, name): value for name, value in values.items()}
