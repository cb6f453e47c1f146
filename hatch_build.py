"""Compiles the C engine of `bertkit.native` into the package: run by pip, or in place as `python hatch_build.py`.

One shared library runs on every x86-64 CPU: files with inner loops are compiled once for each set of instructions, and
which of them run is decided when the library is loaded. Without a compiler there is no library, and the rest works.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "src" / "bertkit" / "native"
LIBRARY = SOURCES / "engine.so"
_AVX2 = ("-mavx2", "-mfma")
_AVX512 = (*_AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl")
_OBJECTS = (
    ("threads.c", ()),
    ("encoder.c", ()),
    ("cpu.c", ()),
    ("steps.c", _AVX2),
    ("steps.c", (*_AVX512, "-mavx512bf16")),
    ("attention.c", _AVX2),
    ("attention.c", (*_AVX512, "-mavx512bf16")),
    ("blocks.c", (*_AVX2, "-DDOT_FLOAT32")),
    ("blocks.c", (*_AVX512, "-DDOT_FLOAT32")),
    ("blocks.c", (*_AVX512, "-mavx512bf16", "-DDOT_BF16")),
    ("blocks.c", (*_AVX2, "-DDOT_INT8")),
    ("blocks.c", (*_AVX2, "-mavxvnni", "-DDOT_INT8")),
    ("blocks.c", (*_AVX512, "-mavx512vnni", "-DDOT_INT8")),
    ("amx.c", ("-mavx2", "-mamx-tile", "-mamx-int8", "-mamx-bf16")),
)
"""Source files and the instructions that each object may use."""


def compile_library() -> str | None:
    """Compile and link; None, or in one line why there is no library."""
    if platform.machine().lower() not in ("x86_64", "amd64") or sys.platform not in ("linux", "darwin"):
        return f"it is written for x86-64 under Linux and macOS, this is {platform.machine()} under {sys.platform}"
    compiler = os.environ.get("CC", "").split() or ["cc"]
    if shutil.which(compiler[0]) is None:
        return f"there is no C compiler {compiler[0]}: install gcc or clang and install again"
    flags = ["-O3", "-std=gnu11", "-fPIC", "-fvisibility=default", "-fno-math-errno", "-pthread"]
    if sys.platform == "darwin":
        flags += ["-arch", "x86_64"]
    with tempfile.TemporaryDirectory() as folder:
        objects = [f"{folder}/{number}.o" for number in range(len(_OBJECTS))]
        commands = [
            [*compiler, *flags, *own, "-c", str(SOURCES / source), "-o", target]
            for (source, own), target in zip(_OBJECTS, objects, strict=True)
        ]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            failed = next(filter(None, pool.map(_run, commands)), None)
        # Linked beside its place and moved: a process that has the old library open keeps it.
        made = LIBRARY.with_suffix(f".{os.getpid()}")
        failed = failed or _run([*compiler, *flags, "-shared", *objects, "-lm", "-o", str(made)])
        if failed is None:
            made.replace(LIBRARY)
    return failed


def _run(command: list[str]) -> str | None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
    return None if done.returncode == 0 else f"{command[0]} failed: {lines[0] if lines else done.returncode}"


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # in place, without hatchling
    BuildHookInterface = object


class EngineBuildHook(BuildHookInterface):  # type: ignore[misc]
    """Puts the library into the wheel, which is then for this platform alone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files are collected."""
        if self.target_name != "wheel":
            return
        failed = compile_library()
        if failed is not None:
            self.app.display_warning(f"bertkit without its C engine: {failed}")
            return
        # Any Python 3 loads it: it has no tie to one's C interface.
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        build_data["pure_python"] = False
        build_data["artifacts"].append("src/bertkit/native/engine.so")


if __name__ == "__main__":
    reason = compile_library()
    print(f"no C engine: {reason}" if reason else LIBRARY)
    sys.exit(reason is not None)
