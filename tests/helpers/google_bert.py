"""google-research/bert's own programs, where a checkout of them is at hand."""

from __future__ import annotations

import importlib
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "BERTKIT_GOOGLE_BERT"


def google_bert(name: str) -> Any:
    """Import a module of the checkout; what it wants of TensorFlow, flags and files, is replaced by a stub."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"needs google-research/bert: git clone https://github.com/google-research/bert, {VARIABLE}=bert")
    if not (Path(folder) / f"{name}.py").is_file():
        pytest.fail(f"{VARIABLE} is {folder}, which has no {name}.py")
    kept = {module: sys.modules.get(module) for module in ("tensorflow", "six")}
    sys.modules["tensorflow"] = _tensorflow()
    sys.modules["six"] = types.ModuleType("six")
    sys.modules["six"].__dict__.update(PY2=False, PY3=True)
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)
        for module, before in kept.items():
            del sys.modules[module]
            if before is not None:
                sys.modules[module] = before


def _tensorflow() -> types.ModuleType:
    def ignore(*arguments: Any) -> None:
        pass

    def open_file(path: str, mode: str) -> Any:
        return Path(path).open(mode, encoding="utf-8", newline="\n")  # TensorFlow's files end lines at \n alone

    stub = types.ModuleType("tensorflow")
    defined = {f"DEFINE_{kind}": ignore for kind in ("string", "bool", "integer", "float")}
    stub.__dict__.update(
        flags=types.SimpleNamespace(FLAGS=types.SimpleNamespace(do_whole_word_mask=False), **defined),
        gfile=types.SimpleNamespace(GFile=open_file),
    )
    return stub
