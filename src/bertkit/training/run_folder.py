"""The folder of a run: every name in it, the options that it was started with, and who may write into it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bertkit.core.console import note
from bertkit.core.errors import BertkitError, InputError
from bertkit.core.files import LOCK_FILE, atomic_path, exclusive, unreadable
from bertkit.core.records import Count, Figure, from_json
from bertkit.core.yaml_files import read_yaml

CHECKPOINT_PREFIX = "step-"
_FILES = (
    *("config.yaml", "metrics.jsonl", "best.safetensors", "baselines.json", "plan.json"),
    *("result.json", "results.json", "results.md", "report.html"),
)
_FOLDERS = ("tensorboard", "checkpoints", "profile", "model", "features", "runs")
_SEED_FOLDERS, _SETTINGS_FOLDER = "seed-[0-9]*", "settings"
"""Names that runs write into their folders, studies too; what has another name is a user's own."""


@dataclass(frozen=True)
class RunFolder:
    """Where a pre-training, a fine-tuning, one of its seeds or a study writes; none of them writes all of it."""

    path: Path

    @property
    def config(self) -> Path:
        """The options of the run."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """Figures of training and of evaluations, a JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """The same for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        """What a run that was stopped resumes from."""
        return self.path / "checkpoints"

    @property
    def profile(self) -> Path:
        """What torch's profiler recorded."""
        return self.path / "profile"

    @property
    def best_weights(self) -> Path:
        """Of the best evaluation so far."""
        return self.path / "best.safetensors"

    @property
    def baselines(self) -> Path:
        """What was measured before a pre-training."""
        return self.path / "baselines.json"

    @property
    def plan(self) -> Path:
        """What a pre-training with a budget was estimated to come to, and came to."""
        return self.path / "plan.json"

    @property
    def model(self) -> Path:
        """The model folder that the run ends with."""
        return self.path / "model"

    @property
    def result(self) -> Path:
        """Figures of one seed."""
        return self.path / "result.json"

    @property
    def results(self) -> Path:
        """Figures of all seeds, settings or trainings."""
        return self.path / "results.json"

    @property
    def report(self) -> Path:
        """The page of the run."""
        return self.path / "report.html"

    def seed(self, seed: int) -> RunFolder:
        """The folder of one seed."""
        return RunFolder(self.path / f"seed-{seed}")

    def seeds(self) -> list[RunFolder]:
        """The folders of the seeds that there are."""
        return [RunFolder(path) for path in self.path.glob("seed-*")]

    def setting(self, name: str) -> RunFolder:
        """The folder of one setting of a grid."""
        return RunFolder(self.path / "settings" / name)

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is one, whole or damaged."""
        return any(self.checkpoints.glob(f"{CHECKPOINT_PREFIX}*"))

    def read_config(self) -> dict[str, Any]:
        """The options of the run."""
        return read_yaml(self.config, "choose a new folder")

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of `metrics`; one that is damaged is left out, and named unless it is the last, cut by a kill."""
        if not self.metrics.exists():
            return []
        try:
            *whole, cut = self.metrics.read_bytes().split(b"\n")
        except OSError as error:
            raise unreadable(self.metrics, error) from None
        lines = []
        for number, line in enumerate(whole, 1):
            try:
                lines.append(_figures(line))
            except ValueError as error:
                note(f"{self.metrics}, line {number} is damaged ({error}): left out")
        with suppress(ValueError):
            lines.append(_figures(cut))
        return lines

    @contextmanager
    def claim(
        self,
        config: Mapping[str, Any],
        resume: bool | None = None,
        *,
        may_change: Collection[str] = (),
        has_begun: Callable[[], bool] | None = None,
    ) -> Iterator[None]:
        """Hold the folder for a run with the options `config`, new or resumed, and for no other process.

        `resume` None resumes a run that is there, True asks for one to be there, False removes it first, by the names
        that runs write: other files stay. A folder
        without a run that is not empty is refused, and so are other options than those of the run that is there. Of
        the options that `may_change` the folder keeps the newest values. Where a `BertkitError` ends a new run before
        it `has_begun`, what it wrote is removed, so that the next one finds the folder as this one did.
        """
        try:
            str(self.path).encode()  # as TensorBoard does
        except UnicodeEncodeError:
            raise InputError(f"{self.path} is not a name in UTF-8: choose another") from None
        is_new_run = resume is False or not self.config.exists()
        with exclusive(self.path):
            self._settle(config, resume, may_change)
            try:
                yield
            except BertkitError:
                if is_new_run and has_begun is not None and not has_begun():
                    self._roll_back()
                raise

    def _settle(self, config: Mapping[str, Any], resume: bool | None, may_change: Collection[str]) -> None:
        """Write the options of a new run, or make sure that an old one was started with the same."""
        plain = _plain(config)
        if self.config.exists() and self.read_config().keys() != plain.keys():
            raise InputError(f"{self.path} holds a run of another kind or version: choose another folder")
        if self.config.exists() and resume is False:
            self._clear()
        elif self.config.exists():
            before = self.read_config()
            for name, old, new in _differences(before, plain):
                if name not in may_change:
                    raise InputError(
                        f"{self.path} was started with {name} = {old!r}, now it is {new!r}: "
                        f"use the same options, another folder, or --no-resume to start over"
                    )
            if before == plain:
                return
        elif resume:
            raise InputError(f"{self.path} holds no run to resume: leave out --resume to start one")
        elif any(entry.name != LOCK_FILE for entry in self.path.iterdir()):
            raise InputError(f"{self.path} is not empty and holds no run: choose a new folder")
        with atomic_path(self.config) as temporary:
            temporary.write_text(as_yaml(config), encoding="utf-8")

    def _clear(self) -> None:
        """Remove what runs write but for the options: what is left of a removal that was killed is still a run."""
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                if entry.match(_SEED_FOLDERS):
                    RunFolder(entry)._clear_whole()
                elif entry.name == _SETTINGS_FOLDER:
                    for setting in entry.iterdir():
                        RunFolder(setting)._clear_whole()
                    _remove_if_empty(entry)
                elif entry.name in _FOLDERS:
                    shutil.rmtree(entry)
            elif entry.name in (*_FILES, *_FOLDERS) and entry != self.config:
                entry.unlink()

    def _clear_whole(self) -> None:
        """The same with the options and the folder, for a run that belongs to another."""
        if self.path.is_dir() and not self.path.is_symlink():
            self._clear()
            self.config.unlink(missing_ok=True)
            _remove_if_empty(self.path)

    def _roll_back(self) -> None:
        """Remove what a run writes before its first step is done."""
        for path in (self.config, self.baselines, self.plan, self.metrics):
            path.unlink(missing_ok=True)
        for folder in (self.tensorboard, self.checkpoints, self.profile):
            shutil.rmtree(folder, ignore_errors=True)

    def discard_training_state(self) -> None:
        """Remove what only training needs."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        self.best_weights.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Line:
    """What every line of metrics has."""

    step: Count
    kind: str


def _remove_if_empty(folder: Path) -> None:
    if all(entry.name == LOCK_FILE for entry in folder.iterdir()):
        shutil.rmtree(folder)


def as_yaml(config: Mapping[str, Any]) -> str:
    """The options as they are kept."""
    return yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True)


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(config, default=str))
    return plain


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every option by its dotted name."""
    names: dict[str, Any] = {}
    for name, value in config.items():
        names |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return names


def _figures(line: bytes) -> dict[str, Any]:
    """A line of metrics: its step, its kind, and figures, null where they are not finite; else `ValueError`."""
    try:
        value: dict[str, Any] = json.loads(line.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    from_json(_Line, value, known_only=False)
    figures = {name: figure for name, figure in value.items() if name not in ("step", "kind")}
    from_json(dict[str, Figure | None], figures)
    return value


def _differences(before: Any, now: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        found = []
        for key in [*now, *(key for key in before if key not in now)]:
            found += _differences(before.get(key), now.get(key), f"{name}.{key}".lstrip("."))
        return found
    return [] if before == now else [(name, before, now)]
