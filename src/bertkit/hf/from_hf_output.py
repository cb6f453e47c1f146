"""What the models return: named fields that are also keys and places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from torch import Tensor


class ModelOutput(dict[str, Any]):
    """Fields by attribute, key or place; those that are None have no key and no place, as in Transformers."""

    names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **others: Any) -> None:
        given = dict(values, **others)
        assert set(given) <= set(self.names), f"{sorted(set(given) - set(self.names))} are no fields"
        super().__init__((name, given[name]) for name in self.names if given.get(name) is not None)

    def __getattr__(self, name: str) -> Any:
        if name in type(self).names:
            return super().get(name)
        raise AttributeError(f"{type(self).__name__} has no field {name}: it has {', '.join(self.names)}")

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields that are not None, in order."""
        return tuple(self[name] for name in self.names if name in self)

    def __reduce__(self) -> tuple[type[ModelOutput], tuple[dict[str, Any]]]:
        return type(self), (dict(self),)


class BaseModelOutputWithPooling(ModelOutput):
    """`last_hidden_state` (B, S, H) and `pooler_output` (B, H)."""

    names = ("last_hidden_state", "pooler_output", "hidden_states", "attentions")
    last_hidden_state: Tensor
    pooler_output: Tensor | None


class BertForPreTrainingOutput(ModelOutput):
    """`prediction_logits` (B, S, V) and `seq_relationship_logits` (B, 2)."""

    names = ("loss", "prediction_logits", "seq_relationship_logits", "hidden_states", "attentions")


class QuestionAnsweringModelOutput(ModelOutput):
    """`start_logits` and `end_logits` (B, S)."""

    names = ("loss", "start_logits", "end_logits", "hidden_states", "attentions")


class LogitsOutput(ModelOutput):
    """`logits`, (B, S, C) of a head on tokens and (B, C) of a head on sequences."""

    names = ("loss", "logits", "hidden_states", "attentions")
