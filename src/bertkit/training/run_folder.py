"""- RunFolder: every name in it, resolved options, rollback of a refused run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from bertkit.core.errors import BertkitError, InputError
from bertkit.core.files import atomic_path
from bertkit.training.schedule import RunProgress

_FILE = "config.yaml"


def settle_config(
    run: Path, config: Mapping[str, Any], resume: bool | None = None, *, may_change: Collection[str] = ()
) -> None:
    """Write `config` into a new run folder, or make sure that an old one was started with the same.

    `resume` None goes on with a run that is there, True asks for one to be there, False removes it first. A folder
    without a run that is not empty is refused. Of the options that `may_change` the folder keeps the newest values.
    """
    path = run / _FILE
    plain = _plain(config)
    if path.exists() and read_config(run).keys() != plain.keys():
        raise InputError(f"{run} holds a run of another kind or version: choose another folder")
    if path.exists() and resume is False:
        _remove(run)
    if path.exists():
        before = read_config(run)
        for name, old, new in _differences(before, plain):
            if name not in may_change:
                raise InputError(
                    f"{run} was started with {name} = {old!r}, now it is {new!r}: "
                    f"use the same options, another folder, or --no-resume to start over"
                )
        if before == plain:
            return
    elif resume:
        raise InputError(f"{run} holds no run to go on with: leave out --resume to start one")
    elif any(entry.name != ".lock" for entry in run.iterdir()):
        raise InputError(f"{run} is not empty and holds no run: choose a new folder")
    with atomic_path(path) as temporary:
        temporary.write_text(as_yaml(config), encoding="utf-8")


def _remove(run: Path) -> None:
    """Empty the folder of a run, its options last: what is left of a removal that was killed is still a run."""
    for entry in sorted(run.iterdir(), key=lambda entry: entry.name == _FILE):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != ".lock":
            entry.unlink()


def as_yaml(config: Mapping[str, Any]) -> str:
    """The options as they are kept."""
    return yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True)


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(config, default=str))
    return plain


def read_config(run: Path) -> dict[str, Any]:
    """The options of a run."""
    try:
        config = yaml.safe_load((run / _FILE).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        cause = " ".join(str(error).split())
        raise InputError(f"{run / _FILE} is not valid YAML ({cause}): choose a new folder") from None
    if not isinstance(config, dict):
        raise InputError(f"{run / _FILE} holds no options of a run: choose a new folder")
    return config


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every option by its dotted name."""
    names: dict[str, Any] = {}
    for name, value in config.items():
        names |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return names


def _differences(before: Any, now: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        found = []
        for key in [*now, *(key for key in before if key not in now)]:
            found += _differences(before.get(key), now.get(key), f"{name}.{key}".lstrip("."))
        return found
    return [] if before == now else [(name, before, now)]


_WRITTEN = ("config.yaml", "baselines.json", "plan.json", "metrics.jsonl", "tensorboard", "checkpoints", "profile")


@contextmanager
def removed_where_refused(run: Path, clock: RunProgress, *, with_folder: bool) -> Iterator[None]:
    """Where a `BertkitError` ends a new run before its first step, remove what it wrote: the next one starts anew."""
    try:
        yield
    except BertkitError:
        if not clock.has_begun:
            _refused_run_remove(run, with_folder)
        raise


def _refused_run_remove(run: Path, with_folder: bool) -> None:
    for name in _WRITTEN:
        path = run / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if with_folder and all(entry.name == ".lock" for entry in run.iterdir()):
        shutil.rmtree(run)
