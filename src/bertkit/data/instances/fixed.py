"""Fixed instances opened for reading, and a prepared folder of either kind."""
# T tokens and B sequences of a step, N tokens of all instances.

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.core.arrays import run_positions, run_starts
from bertkit.core.console import counted
from bertkit.core.errors import InputError
from bertkit.core.packing import token_budget_batches
from bertkit.data.corpus.manifest import KIND, changed_manifest, read_manifest
from bertkit.data.corpus.prepared import PreparedCorpus, prepared_tokenizer
from bertkit.data.instances.batches import MaskedSequences, PretrainingBatch
from bertkit.data.instances.google_files import (
    IDS,
    INSTANCES,
    LABELS,
    ORDER,
    POSITIONS,
    PREDICTION_STARTS,
    RANDOM,
    SEGMENTS,
    STARTS,
    InstanceManifest,
    array_types,
    instance_file,
)
from bertkit.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True, eq=False)
class FixedInstances:
    """Instances with their masks, the same in every epoch, in the order of create_pretraining_data.py."""

    folder: Path
    manifest: InstanceManifest
    arrays: dict[str, NDArray[Any]]

    @classmethod
    def open(cls, folder: str | Path, verify: bool = True) -> FixedInstances:
        """Open a folder that `prepare_static` finished; `verify` reads every file once to compare its SHA-256."""
        folder = Path(folder)
        manifest = InstanceManifest.read(folder)
        if (damage := manifest.damage(folder, verify)) is not None:
            raise InputError(f"{damage}: run the same `bertkit prepare` again, which writes it again")
        parts = array_types(manifest.vocab_size)
        if missing := {instance_file(part) for part in parts} - manifest.files.keys():
            raise changed_manifest(folder, f"it lacks the file {min(missing)}")
        # Plain views, since slicing an `np.memmap` costs ten times as much.
        arrays = {part: np.asarray(np.load(folder / instance_file(part), mmap_mode="r")) for part in parts}
        for name, part in (("instances", ORDER), ("tokens", IDS), ("predictions", POSITIONS)):
            found, recorded = len(arrays[part]), getattr(manifest, name)
            if found != recorded:
                raise changed_manifest(folder, f"there are {found:,} {name}, not {recorded:,}")
        return cls(folder=folder, manifest=manifest, arrays=arrays)

    @property
    def vocab_size(self) -> int:
        """Size of the vocabulary that the text was prepared with."""
        return self.manifest.vocab_size

    @property
    def tokenizer_fingerprint(self) -> str:
        """`Tokenizer.fingerprint` of the tokenizer that the text was prepared with."""
        return self.manifest.tokenizer_fingerprint

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the text was prepared with."""
        return prepared_tokenizer(self.folder, self.tokenizer_fingerprint)

    def describe(self) -> str:
        """Its size in a few words."""
        return f"{counted(self.manifest.instances, 'fixed instance')}, {counted(self.manifest.tokens, 'token')}"

    def count(self, epoch: int) -> int:
        """The same number in every epoch."""
        del epoch
        return self.manifest.instances

    def batches(
        self, epoch: int, rows: NDArray[np.int64], *, numbers: NDArray[np.int64], micro_batch_tokens: int
    ) -> list[PretrainingBatch]:
        """Read instances `rows` (B,) as micro-batches; nothing is drawn."""
        del epoch, numbers
        rows = self.arrays[ORDER][rows]
        starts, lengths = _ranges(self.arrays[STARTS], rows)
        groups = token_budget_batches(lengths, micro_batch_tokens)
        order = np.concatenate(groups)
        rows, starts, lengths = rows[order], starts[order], lengths[order]
        prediction_starts, predictions = _ranges(self.arrays[PREDICTION_STARTS], rows)
        tokens = run_positions(starts, lengths)  # (T,) in the N tokens
        masked = run_positions(prediction_starts, predictions)
        sequences = MaskedSequences(
            input_ids=self.arrays[IDS][tokens],
            token_type_ids=self.arrays[SEGMENTS][tokens],
            lengths=lengths,
            masked_positions=self.arrays[POSITIONS][masked] + np.repeat(run_starts(lengths), predictions),
            masked_labels=self.arrays[LABELS][masked].astype(np.int64),
            next_sentence_labels=self.arrays[RANDOM][rows].astype(np.int64),
        )
        return sequences.cut(len(group) for group in groups)


def _ranges(bounds: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and lengths of ranges that follow one another, (n+1,) -> 2 x (len(rows),)."""
    return bounds[rows], bounds[rows + 1] - bounds[rows]


Prepared = PreparedCorpus | FixedInstances


def open_prepared(folder: str | Path) -> Prepared:
    """Open a prepared folder of either kind, comparing the SHA-256 of every file."""
    folder = Path(folder)
    if read_manifest(folder)[0].get("kind", KIND) == INSTANCES:
        return FixedInstances.open(folder)
    return PreparedCorpus.open(folder)
