"""Every benchmark that needs nothing but this project and its `bench` packages.

`python benchmarks/run_all.py`; `prepare.py`, `embedding.py`, `finetuning.py` and others take texts or a model and are
run by hand: their first lines say how.
"""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> None:
    """Run the benchmarks one after another."""
    for name in ("startup.py", "training_step.py"):
        subprocess.run([sys.executable, str(FOLDER / name)], check=True)


if __name__ == "__main__":
    main()
