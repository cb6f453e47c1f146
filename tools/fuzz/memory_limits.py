"""Every command with too little memory: it ends well, or with code 3 and one line.

    python tools/fuzz/memory_limits.py [--out build/limits]

Two kinds of limit: what a forked child of a process that has imported all may take beside that, and what a new process
may take in all, imports included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import run
from templates import TEMPLATES

FORKED = tuple(megabytes << 20 for megabytes in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512))
WHOLE = tuple(megabytes << 20 for megabytes in (200, 400, 700, 1000, 1500, 2000, 3000, 5000))
COMMANDS = ("predict", "embed", "vocab", "prepare", "finetune", "pretrain", "doctor", "convert")


def forked(fuzzer: run.Fuzzer) -> None:
    """Every template with every limit."""
    number = 0
    for limit in FORKED:
        run.MEMORY_BYTES = limit
        for template in TEMPLATES:
            fuzzer.run_case(run.plain_case(number, template, f"{limit >> 20} MB more"))
            number += 1
        fuzzer.finish()


def whole(fuzzer: run.Fuzzer) -> None:
    """A process of its own for a template of each command, with every limit."""
    for limit in WHOLE:
        for number, command in enumerate(COMMANDS):
            template = next(each for each in TEMPLATES if each.command == command and not each.changes)
            case = run.plain_case(100_000 + number, template, f"{limit >> 20} MB in all")
            folder = fuzzer.folder_of(case)
            before = run.snapshot(folder)
            done = subprocess.run(
                [sys.executable, "-m", "bertkit", *case.arguments],
                cwd=folder,
                check=False,
                capture_output=True,
                text=True,
                preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
            )
            problem = run.judged(case, done.returncode, done.stderr, before, run.snapshot(folder))
            fuzzer.note(case, done.returncode, problem, done.stderr)
            shutil.rmtree(folder)


def main() -> None:
    """Run both kinds and print what failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/limits"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    fuzzer = run.Fuzzer(0, given.out, given.jobs)
    fuzzer.prepare()
    forked(fuzzer)
    codes = Counter(fuzzer.codes)
    whole(fuzzer)
    found = fuzzer.report(0.0) | {"exit codes": {"forked": dict(codes), "whole": dict(fuzzer.codes - codes)}}
    (given.out / "result.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8", "backslashreplace")
    for kind in found["kinds"]:
        print(f"{kind['count']:5} {kind['what']}\n      {kind['line']}")
    print({name: value for name, value in found.items() if name != "kinds"})
    sys.exit(bool(found["failures"]))


if __name__ == "__main__":
    main()
