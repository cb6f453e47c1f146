import inspect
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
import pytest
import torch

import bertkit
from bertkit.core.arguments import checked
from bertkit.core.errors import InputError


@checked
@dataclass(frozen=True, kw_only=True)
class Options:
    steps: int = 1
    rate: float | None = None
    mode: Literal["fast", "slow"] = "fast"
    names: tuple[str, ...] = ()
    where: Path | None = None
    shown: bool = False


@checked
def work(texts: str | Sequence[str], top: int = 3, *, options: Options | None = None) -> int:
    """Nothing."""
    return top


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": "3"}, "steps must be a whole number, got '3'"),
        ({"steps": 1.5}, "steps must be a whole number, got 1.5"),
        ({"steps": True}, "steps must be a whole number, got True"),
        ({"rate": "x"}, "rate must be a number or None, got 'x'"),
        ({"mode": 3}, "mode must be 'fast' or 'slow', got 3"),
        ({"names": "abc"}, "names must be a tuple, got 'abc'"),
        ({"names": ("a", 3)}, r"names must be a tuple, got \('a', 3\)"),
        ({"where": 3}, "where must be a path or None, got 3"),
        ({"shown": "no"}, "shown must be True or False, got 'no'"),
        ({"step": 1}, "Options has no option 'step': did you mean steps"),
        ({"zzz": 1}, "Options has no option 'zzz': there are steps, rate, mode, names, where, shown"),
    ],
)
def test_a_wrong_option_is_one_line(given: dict[str, Any], message: str):
    with pytest.raises(InputError, match=f"^{message}"):
        Options(**given)


def test_what_fits_is_taken_as_it_is():
    options = Options(steps=np.int64(3), rate=1, names=("a",), where=Path("a"), shown=True)
    assert (options.steps, options.rate) == (3, 1)
    assert pickle.loads(pickle.dumps(options)) == options
    assert work("a", 2) == 2
    assert work(["a"], options=options) == work(np.array(["a"])) == 3


@pytest.mark.parametrize("given", [(None,), (3,), ({"a": 1},), (["a", 3],), (), ("a", 2, 3), ("a", 1.5)])
def test_a_wrong_argument_is_one_line(given: tuple[Any, ...]):
    with pytest.raises(InputError) as error:
        work(*given)
    assert "\n" not in str(error.value)


CALLED = [name for name in bertkit.__all__ if inspect.isfunction(getattr(bertkit, name))]
OPTIONS = [
    name
    for name in bertkit.__all__
    if is_dataclass(getattr(bertkit, name)) and name.endswith(("Options", "Config", "MachineCost"))
]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_public_option_refuses_another_type_and_another_name(name: str):
    kind = getattr(bertkit, name)
    needed = {"model": bertkit.PRESETS["tiny"], "training": bertkit.TrainingOptions(steps=1)}
    given = {field.name: needed[field.name] for field in fields(kind) if field.name in needed}
    for field in fields(kind):
        with pytest.raises(InputError, match=f"^{field.name} must be "):
            kind(**given | {field.name: object()})
    with pytest.raises(InputError, match="has no option 'zzz'"):
        kind(zzz=1)


def _parameters(function: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def _fitting(hint: Any) -> Any:
    for kind, value in ((str, "x"), (Path, Path("x")), (int, 1)):
        if hint is kind or kind in get_args(hint):
            return value
    kind = next((each for each in (hint, *get_args(hint)) if isinstance(each, type)), None)
    return kind.__new__(kind) if kind is not None and kind is not hint.__class__ else ["x"]


@pytest.mark.parametrize("name", CALLED)
def test_every_public_function_refuses_other_types_and_other_names(name: str):
    function = getattr(bertkit, name)
    hints, parameters = get_type_hints(inspect.unwrap(function), localns={"torch": torch}), _parameters(function)
    named = [each for each in parameters.values() if each.kind is not each.VAR_KEYWORD and each.name != "device"]
    given = {each.name: _fitting(hints[each.name]) for each in named if each.default is each.empty}
    for each in named:
        with pytest.raises(InputError, match=rf"^{each.name} must be "):
            function(**given | {each.name: object()})
    if all(each.kind is not each.VAR_KEYWORD for each in parameters.values()):
        with pytest.raises(InputError, match="has no option 'zzz'"):
            function(**given, zzz=1)


def test_the_methods_of_a_predictor_refuse_other_types(tmp_path: Path):
    model = bertkit.Predictor.__new__(bertkit.Predictor)
    for call in (
        lambda: model.predict(None),
        lambda: model.predict(3),
        lambda: model.predict(["a"], max_length="x"),
        lambda: model.fill_mask("a", top_k=1.5),
        lambda: model.embed(None),
        lambda: model.embed("a", normalize="no"),
        lambda: model.embed("a", layer=1.5),
        lambda: model.embed("a", pooling=3),
        lambda: model.predict({"a": 1}),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert "\n" not in str(error.value)
