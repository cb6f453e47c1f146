"""Labelled data on the command line: a benchmark by its name, or your own tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bertkit.core.errors import InputError
from bertkit.tasks.options import TableOptions, TaskOptions, refuse_given

if TYPE_CHECKING:
    from bertkit.tasks.data import TaskData


@dataclass(frozen=True, kw_only=True)
class LabelledOptions:
    """What `finetune` and `study features` learn from."""

    task: str | None = None
    """Benchmark by name, such as SST-2, MNLI, STS-B, SQuAD-1.1, GoEmotions or CoNLL-2003; an unknown name is answered
    with the nearest one, or with all."""
    data: Path | None = None
    """Folder with the benchmark's files."""
    train: str | None = None
    """Your own CSV, TSV, JSONL or Parquet file, or hub data set; SQuAD's JSON; for tags also column files like
    CoNLL's."""
    dev: str | None = None
    """The same, to choose the best weights by; unless given, a share of the training examples is held out."""
    test: str | None = None
    """The same, to measure the chosen weights on."""
    table: Annotated[TableOptions, Parameter(name="*")] = field(default_factory=TableOptions)

    def read(self, kind: str | None, options: TaskOptions, metrics: tuple[str, ...] | None = None) -> TaskData:
        """The examples; raises `InputError` where options do not go together."""
        if (self.task is None) != (self.data is None):
            raise InputError(
                "--task NAME and --data FOLDER belong together: give both, or --train FILE for your own table"
            )
        if (self.task is None) == (self.train is None):
            raise InputError("give either --task NAME --data FOLDER or --train FILE")
        if self.task is not None:
            refuse_given(
                f"{self.task} has its own kind, files, columns and metrics",
                {"kind": kind, "dev": self.dev, "test": self.test}
                | self.table.columns
                | {"header": self.table.header, "metrics": metrics},
            )

        from bertkit.api import read_benchmark, read_tables

        if self.task is not None and self.data is not None:
            return read_benchmark(
                self.task, self.data, options=options, encoding_errors=self.table.encoding_errors or "strict"
            )
        assert self.train is not None
        return read_tables(
            self.train,
            self.dev,
            self.test,
            kind=kind or "classification",
            table=self.table,
            options=options,
            metrics=metrics,
        )
