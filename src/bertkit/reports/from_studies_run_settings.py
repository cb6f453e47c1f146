"""The options of a run, on its page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bertkit.studies.report import Section, Table
from bertkit.training.run_config import flat


def settings_section(config: Mapping[str, Any]) -> Section:
    """Every option of `config.yaml` by its dotted name."""
    rows = [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in flat(config).items()
    ]
    table = Table(head=("option", "value"), rows=rows, text_columns=2, caption="As in `config.yaml`.")
    return Section(title="Settings", blocks=[table])
