"""`bertkit study`: one command a study."""

from __future__ import annotations

from cyclopts import App

_STUDIES = {"features": "Find out which layers of an encoder are good features."}

study = App(name="study", help_format="plaintext")
for _name, _summary in _STUDIES.items():
    study.command(f"bertkit.cli.study_{_name}:study_{_name}", name=_name, help=_summary)
