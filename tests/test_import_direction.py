"""Imports go down the floors only, and the cheap modules stay cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "bertkit"
FLOORS = (
    {"foundation"},
    {"text", "model"},
    {"data", "hf"},
    {"tasks", "training"},
    {"recipes", "inference"},
    {"studies"},
    {"cli"},
)
LEVEL = {part: level for level, parts in enumerate(FLOORS) for part in parts}
FORBIDDEN = {"data": {"model"}, "inference": {"training"}}


def _imports(path: Path) -> set[str]:
    """Parts of the package that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            modules = [node.module or ""] if node.module != "bertkit" else [f"bertkit.{n.name}" for n in node.names]
        elif isinstance(node, ast.Import):
            modules = [name.name for name in node.names]
        else:
            continue
        found |= {module.split(".")[1] for module in modules if module.startswith("bertkit.")}
    return found


def test_every_part_of_the_package_has_a_floor():
    parts = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert parts == set(LEVEL)


@pytest.mark.parametrize("part", sorted(LEVEL))
def test_a_part_imports_itself_and_lower_floors_only(part: str):
    for path in (PACKAGE / part).rglob("*.py"):
        for imported in _imports(path) - {part, "__version__"}:
            assert LEVEL[imported] < LEVEL[part], f"{path} imports {imported}, which is not below {part}"
            assert imported not in FORBIDDEN.get(part, set()), f"{path} imports {imported}"


@pytest.mark.parametrize(
    "module",
    ["bertkit", "bertkit.text.tokenizer", "bertkit.data.prepare", "bertkit.cli.main"]
    + [f"bertkit.cli.{path.stem}" for path in (PACKAGE / "cli").glob("[a-z]*.py")],
)
def test_commands_and_preparation_start_without_torch(module: str):
    script = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_drop_in_classes_need_no_transformers():
    script = "import bertkit.hf, sys; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
