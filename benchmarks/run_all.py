"""Run every benchmark that needs nothing but this project and its `bench` packages.

    python benchmarks/run_all.py

`prepare.py`, `embedding.py`, `finetuning.py` and others need texts or a model: their first lines say how to run them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> None:
    """Run the benchmarks one after another."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for name in ("startup.py", "training_step.py"):
        subprocess.run([sys.executable, str(FOLDER / name)], check=True)


if __name__ == "__main__":
    main()
