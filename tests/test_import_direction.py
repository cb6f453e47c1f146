"""Imports go down the floors only, and the cheap modules stay cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "bertkit"
ROOMS = {"data/readers", "data/corpus", "data/instances"}
FLOORS = (
    {"core"},
    {"text", "data/readers", "model", "native"},
    {"pretrained", "data/corpus"},
    {"data/instances", "hf", "tasks", "training"},
    {"inference"},
    {"recipes"},
    {"reports"},
    {"api"},
    {"studies"},
    {"cli"},
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
FORBIDDEN = {
    "data/instances": {"model", "pretrained"},
    "data/corpus": {"model"},
    "training": {"text", "pretrained", "data/readers", "data/corpus"},
    "hf": {"text", "data/readers", "data/corpus"},
    "inference": {"data/corpus", "data/instances", "training"},
}


def _imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {module for module in found if module.startswith("bertkit.")}


def _room(module: str) -> str:
    """The room that a module of the package lies in."""
    parts = module.split(".")[1:]
    return "/".join(parts[:2]) if parts[0] == "data" else parts[0]


def test_every_room_has_a_floor():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} - {"data"}
    rooms |= {path.stem for path in PACKAGE.glob("[a-z]*.py")}
    rooms |= {
        f"data/{path.name}" for path in (PACKAGE / "data").iterdir() if path.is_dir() and path.name != "__pycache__"
    }
    assert rooms == set(LEVEL)


@pytest.mark.parametrize("room", sorted(LEVEL))
def test_a_room_imports_itself_and_lower_floors_only(room: str):
    for path in (PACKAGE / f"{room}.py", *(PACKAGE / room).rglob("*.py")):
        if not path.is_file():
            continue
        for imported in {_room(module) for module in _imports(path)} - {room, "__version__"}:
            assert LEVEL[imported] < LEVEL[room], f"{path} imports {imported}, which is not below {room}"
            assert imported not in FORBIDDEN.get(room, set()), f"{path} imports {imported}"


def test_no_modules_import_each_other_in_a_circle():
    files = {
        ".".join(("bertkit", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in PACKAGE.rglob("*.py")
    }
    edges = {}
    for module, path in files.items():
        named = _imports(path)
        edges[module] = {name for name in named | {name.rpartition(".")[0] for name in named} if name in files}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"a circle of imports: {' -> '.join((*way[way.index(module) :], module))}"
        if module not in done:
            for imported in sorted(edges[module]):
                visit(imported, (*way, module))
            done.add(module)

    for module in sorted(files):
        visit(module, ())


def _modules(*rooms: str) -> list[str]:
    return [
        ".".join(("bertkit", *path.relative_to(PACKAGE).with_suffix("").parts))
        for room in rooms
        for path in sorted((PACKAGE / room).rglob("[a-z]*.py"))
    ]


WITHOUT_TORCH = {
    "core": [
        *("bertkit.core.arrays", "bertkit.core.console", "bertkit.core.errors", "bertkit.core.files"),
        *("bertkit.core.machine", "bertkit.core.randomness", "bertkit.core.records", "bertkit.core.workers"),
    ],
    "text": _modules("text"),
    "native": _modules("native"),
    "readers": _modules("data/readers"),
    "corpus": _modules("data/corpus"),
    "options": [
        *("bertkit.data.instances.stages", "bertkit.training.options", "bertkit.tasks.options"),
        *("bertkit.inference.feature_layers", "bertkit.recipes.options", "bertkit.studies.features.plan"),
    ],
    "inference": [
        *("bertkit.core.packing", "bertkit.core.lazy", "bertkit.model.config", "bertkit.tasks.contract"),
        *(module for module in _modules("pretrained") if module != "bertkit.pretrained.models"),
        *(module for module in _modules("tasks") if module not in ("bertkit.tasks.model", "bertkit.tasks.evaluation")),
        *("bertkit.inference.engine", "bertkit.inference.features", "bertkit.inference.predictor"),
    ],
    "commands": ["bertkit", *_modules("cli")],
}
"""What prepares a corpus, and what the command line needs before it knows what to do."""


@pytest.mark.parametrize("group", WITHOUT_TORCH)
def test_preparation_and_commands_start_without_torch(group: str):
    script = (
        "import importlib, sys\n"
        "for module in sys.argv[1:]:\n"
        "    importlib.import_module(module)\n"
        "    if 'torch' in sys.modules: sys.exit(f'{module} imports torch')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *WITHOUT_TORCH[group]], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_drop_in_classes_need_no_transformers():
    script = "import bertkit.hf, sys; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
