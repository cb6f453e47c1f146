"""The table of the largest differences from the originals, as the tests find them.

    python benchmarks/parity.py [--thorough]

Runs every test that records a difference (the fixture `parity_table` of tests/conftest.py marks them) and writes the
table into docs/parity.md. `--thorough` gives each of them ten times as many random cases as a usual run of the tests.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import describe_machine

PROJECT = Path(__file__).parents[1]
DOCUMENT = PROJECT / "docs" / "parity.md"
START, END = "<!-- table -->", "<!-- end of the table -->"


def main() -> None:
    """Run the tests, write the table, and exit as the tests did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--thorough", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.md"
        command = [sys.executable, "-m", "pytest", "-m", "parity", f"--parity-table={table}"]
        command += ["--hypothesis-profile=thorough"] * arguments.thorough
        code = subprocess.run(command, cwd=PROJECT, check=False).returncode
        if not table.exists():
            sys.exit(code)
        rows = table.read_text(encoding="utf-8")
    text = DOCUMENT.read_text(encoding="utf-8")
    before, after = text[: text.index(START)], text[text.index(END) :]
    made = f"`python benchmarks/parity.py{' --thorough' * arguments.thorough}` on " + describe_machine(
        "torch", "transformers", "tokenizers"
    )
    DOCUMENT.write_text(f"{before}{START}\n{made}.\n\n{rows}{after}", encoding="utf-8")
    sys.exit(code)


if __name__ == "__main__":
    main()
