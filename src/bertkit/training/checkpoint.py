"""Checkpoints that are whole or absent, hold all that a run resumes from, and are written in the background."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.staging import BlockingAsyncStager
from torch.distributed.checkpoint.state_dict_loader import load as load_shares
from torch.distributed.checkpoint.state_dict_saver import save as save_shares

from bertkit.core.console import note
from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import InputError
from bertkit.core.files import atomic_folder, full_disk_named, sha256
from bertkit.core.records import Count, read_record, write_record
from bertkit.training.run_folder import CHECKPOINT_PREFIX

_STATE_FILE, _SUFFIX = "state.json", ".safetensors"

_NOT_SHARED = "{} is not the same folder on all machines: give --out one on a file system that they share"

# Said on every save and load of a process that is alone.
warnings.filterwarnings("ignore", "torch.distributed is disabled, unavailable or uninitialized")


@dataclass(frozen=True)
class Progress:
    """How far a run is after `step` steps. Random draws are functions of the seed and the step and need no state."""

    step: int
    figures: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class _State:
    """Of a checkpoint; its last file."""

    step: Count
    progress: dict[str, Any]
    sha256: dict[str, str]
    """Of the files of tensors, by name without suffix."""


class Checkpoints:
    """The newest `keep` checkpoints in a folder, which every process of a group must see.

    Each process writes its share of the tensors with torch.distributed.checkpoint, as safetensors; any number of
    processes can read them, whole or sharded.
    """

    def __init__(self, folder: Path, keep: int, group: ProcessGroup) -> None:
        self._folder, self._keep = folder, keep
        self._group, self._background = group, group.apart()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._pending: Future[None] | None = None

    def save(self, tensors: Mapping[str, Tensor], progress: Progress) -> None:
        """Copy the tensors and write them in the background, once the save before is done.

        What went wrong with that one is raised here.
        """
        self._wait()
        copies = BlockingAsyncStager().stage(dict(tensors))
        self._pending = self._thread.submit(self._write, copies, progress)

    def load(self, tensors: Mapping[str, Tensor]) -> Progress | None:
        """Fill `tensors` from the newest checkpoint that is whole; a damaged one is named and passed over."""
        found = None
        with self._group.together():
            if self._group.is_main:
                found = self._newest_whole()
        found = self._group.gather(found)[0]
        if found is None:
            return None
        path, state = found
        with self._group.together():
            if not path.is_dir():
                raise InputError(_NOT_SHARED.format(path))
        try:
            load_shares(
                dict(tensors),
                storage_reader=HuggingFaceStorageReader(str(path)),
                process_group=self._group.channel,
                no_dist=self._group.size == 1,
            )
        except CheckpointException as error:
            raise _cause(error) from error
        return Progress(state.step, state.progress)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wait()
        except Exception:
            if kind is None:  # else that error came first
                raise
        finally:
            self._thread.shutdown()

    def _wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _write(self, tensors: dict[str, Any], progress: Progress) -> None:
        group, path = self._background, self._folder / _name(progress.step)
        digests: dict[str, str] = {}
        with ExitStack() as stack:
            folder = path
            with group.together():
                if group.is_main:
                    folder = stack.enter_context(atomic_folder(path))
            folder = group.gather(folder)[0]
            with group.together(), full_disk_named(path):
                digests = _write_share(folder, tensors, group)
            everyone = {name: digest for part in group.gather(digests) for name, digest in part.items()}
            with group.together():
                if group.is_main:
                    if any(not (folder / f"{name}{_SUFFIX}").is_file() for name in everyone):
                        raise InputError(_NOT_SHARED.format(path))
                    state = _State(step=progress.step, progress=dict(progress.figures), sha256=everyone)
                    write_record(folder / _STATE_FILE, asdict(state))
        if group.is_main:
            for old in self._folders()[: -self._keep]:
                shutil.rmtree(old)

    def _folders(self) -> list[Path]:
        return sorted(self._folder.glob(f"{CHECKPOINT_PREFIX}*"))

    def _newest_whole(self) -> tuple[Path, _State] | None:
        """The newest checkpoint whose files are what was written, with its state."""
        folders = self._folders()
        for path in reversed(folders):
            try:
                return path, _checked_state(path)
            except InputError as error:
                note(f"passed over a damaged checkpoint: {error}")
        if folders:
            raise InputError(f"no whole checkpoint is left in {self._folder}: start again with --no-resume")
        return None


def _write_share(folder: Path, tensors: dict[str, Any], group: ProcessGroup) -> dict[str, str]:
    """Write what falls to this process; return the SHA-256 of its files by name without suffix."""
    try:
        save_shares(
            tensors,
            storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True),
            process_group=group.channel,
            no_dist=group.size == 1,
        )
    except CheckpointException as error:
        raise _cause(error) from error
    return {path.stem: sha256(path) for path in folder.glob(f"shard-{group.rank + 1:05d}-*{_SUFFIX}")}


def _name(step: int) -> str:
    return f"{CHECKPOINT_PREFIX}{step:08d}"


def _checked_state(path: Path) -> _State:
    state = read_record(path / _STATE_FILE, _State, "an older checkpoint is taken")
    if path.name != _name(state.step):
        raise InputError(f"{path / _STATE_FILE} is of step {state.step}, not of {path.name}")
    for file in path.glob(f"*{_SUFFIX}"):
        if file.stem not in state.sha256:
            raise InputError(f"{file} is not in {_STATE_FILE}")
    for name, digest in state.sha256.items():
        file = path / f"{name}{_SUFFIX}"
        if not file.is_file() or sha256(file) != digest:
            raise InputError(f"{file} is missing or not what was written")
    return state


def _cause(error: CheckpointException) -> BaseException:
    """What went wrong in the first process that failed."""
    return min(error.failures.items())[1][0]
