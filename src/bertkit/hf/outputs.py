"""Outputs of the drop-in classes, and logits that are computed only when something reads them."""
# B sequences, S columns, H hidden, C classes, V vocabulary.

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from bertkit.core.errors import InputError


class ModelOutput(dict[str, Any]):
    """Fields by attribute, key or index; those that are None have no key and no index, as in Transformers."""

    names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **others: Any) -> None:
        given = dict(values, **others)
        assert set(given) <= set(self.names), f"{sorted(set(given) - set(self.names))} are not fields of this output"
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


_SHAPE_ALONE = (
    *(getattr(Tensor, name).__get__ for name in ("shape", "dtype", "device", "ndim", "layout", "is_cuda")),
    *(Tensor.size, Tensor.dim, Tensor.numel, Tensor.is_floating_point, Tensor.__len__),
)
_STAYS_DEFERRED = (Tensor.float, Tensor.detach)
"""What training tools do to every output of a model, whether or not it is read."""
_SAMPLED = 1024


class DeferredTensor(Tensor):
    """The result of `compute`, which is called once, when an operation first needs the values.

    Shape, type and device are known before. The value is computed under the autograd and autocast settings of the time
    when this tensor was made, from `weights` as they were then: if these have changed, reading raises `InputError`.
    """

    @staticmethod
    def __new__(
        cls, compute: Callable[[], Tensor], weights: Iterable[Tensor], shape: Sequence[int], like: Tensor
    ) -> DeferredTensor:
        """A tensor without memory that has `shape`, and the type and device of `like`."""
        kind = like.device.type
        low = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if low else like.dtype
        made: DeferredTensor = Tensor._make_wrapper_subclass(cls, shape, dtype=dtype, device=like.device)
        made._value = None
        made._compute = compute
        made._weights = [(weight, _sample(weight).clone()) for weight in weights]
        made._settings = (torch.is_grad_enabled(), kind, torch.get_autocast_dtype(kind), low)
        return made

    _value: Tensor | None
    _compute: Callable[[], Tensor]
    _weights: list[tuple[Tensor, Tensor]]
    _settings: tuple[bool, str, torch.dtype, bool]

    def value(self) -> Tensor:
        """The computed tensor."""
        if self._value is None:
            if not all(torch.equal(_sample(weight), before) for weight, before in self._weights):
                raise InputError(
                    "these logits are computed when they are first read, and the weights have changed since: read them "
                    "(`outputs.logits + 0`) before the optimiser's step"
                )
            grad, kind, dtype, low = self._settings
            with torch.set_grad_enabled(grad), torch.autocast(kind, dtype, enabled=low):
                self._value = self._compute()
        return self._value

    def _then(self, function: Callable[[Tensor], Tensor], dtype: torch.dtype) -> DeferredTensor:
        """Another deferred tensor: `function` of this one's value."""
        like = torch.empty(0, dtype=dtype, device=self.device)
        with torch.autocast(self.device.type, enabled=False):
            return DeferredTensor(lambda: function(self.value()), (), self.shape, like)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Iterable[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Answer questions about the shape without the value; compute it for everything else."""
        if func in _SHAPE_ALONE:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        if func in _STAYS_DEFERRED and isinstance(args[0], DeferredTensor) and args[0]._value is None:
            return args[0]._then(func, torch.float32 if func is Tensor.float else args[0].dtype)
        args, kwargs = tree_map_only(DeferredTensor, DeferredTensor.value, (tuple(args), dict(kwargs or {})))
        return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch's own stub lacks the function
        cls, func: Any, types: Iterable[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Compute the value for operations that torch calls below Python."""
        args, kwargs = tree_map_only(DeferredTensor, DeferredTensor.value, (tuple(args), dict(kwargs or {})))
        return func(*args, **(kwargs or {}))


def _sample(weight: Tensor) -> Tensor:
    """Some numbers of a weight, to see that it changed: torch's version counter does not count fused optimisers."""
    flat = weight.detach().flatten()
    return flat[:: len(flat) // _SAMPLED + 1]
