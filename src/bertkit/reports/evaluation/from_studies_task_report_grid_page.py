"""The page of a grid search."""

from __future__ import annotations

from pathlib import Path

from bertkit.recipes.finetune_options import FinetuneOptions
from bertkit.recipes.grid_result import GRID_COLUMNS, GridResult
from bertkit.studies.report import Section, Table
from bertkit.studies.task_report.run_page import write_run_report


def write_grid_report(out: Path, found: GridResult, options: FinetuneOptions) -> Path:
    """Write the page of the chosen setting's run, with a table of all settings, as `report.html` into `out`."""
    caption = (
        f"By {found.best.select_by} on dev ({found.best.dev}). A dev figure that was chosen among many is too good."
    )
    table = Table(head=GRID_COLUMNS, rows=found.rows(), caption=caption)
    tried = Section(title=f"{len(found.settings)} settings", blocks=[table])
    return write_run_report(out, found.best, options, run=found.run, further=[tried])
