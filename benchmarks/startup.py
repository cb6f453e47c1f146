"""Time until `--help` is answered: `bertkit` beside the `transformers` command, A B A B.

python benchmarks/startup.py [--rounds 10]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import describe_machine, write_results


def main() -> None:
    """Run both in turn and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    folder = Path(sys.executable).parent
    commands = {name: [str(folder / name), "--help"] for name in ("bertkit", "transformers")}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if number:  # the first run fills the disk cache
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    text = (
        "# Start-up\n\n"
        f"{describe_machine('transformers')}. `python benchmarks/startup.py`, medians of {rounds} runs in turn.\n\n"
        "| command | seconds |\n| --- | --- |\n"
        + "\n".join(f"| `{name} --help` | {value:.2f} |" for name, value in medians.items())
        + f"\n\nRatio: {medians['transformers'] / medians['bertkit']:.1f}x"
    )
    write_results("startup", text, seconds)


if __name__ == "__main__":
    main()
