"""The machine that figures were measured on, and the files that results are written to."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def describe_machine(*packages: str) -> str:
    """CPU, cores and the versions of `packages`, in one line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        flags = cpuinfo.read_text()
        model = names[0] if names else model
        model += "".join(f", {name}" for name in ("avx512_bf16", "amx_bf16") if name in flags)
    versions = []
    for package in packages:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} not installed")
    return f"{model}, {os.cpu_count()} cores; Python {platform.python_version()}, {', '.join(versions)}"


def cpu_class() -> str:
    """What the CPU multiplies with: "amx", "avx512" (with VNNI) or "avx2". Results of one do not speak for another."""
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    if "amx_int8" in flags:
        return "amx"
    return "avx512" if "avx512_vnni" in flags else "avx2"


def peer_versions(python: str | Path, *packages: str) -> str:
    """The versions of packages in another environment, by its Python."""
    code = "import sys\nfrom importlib.metadata import version\nfor name in sys.argv[1:]: print(name, version(name))"
    found = subprocess.run([python, "-c", code, *packages], check=False, capture_output=True, text=True)
    return ", ".join(found.stdout.splitlines()) or "none"


def spelled_command(script: str, paths: Mapping[str, str]) -> str:
    """The command of this run, with the `paths` that depend on the machine replaced by names.

    Adjacent arguments of the same name are written once.
    """
    threads = f"OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']} " if "OMP_NUM_THREADS" in os.environ else ""
    arguments = [name for name, _ in groupby(paths.get(argument, argument) for argument in sys.argv[1:])]
    return " ".join([f"{threads}python benchmarks/{Path(script).name}", *arguments])


def write_results(name: str, text: str, figures: object) -> None:
    """Write `results/NAME.md` and `.json`, and print the text."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    (RESULTS / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(text)
