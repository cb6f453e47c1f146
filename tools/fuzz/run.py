"""Bad invocations and spoilt files for every command, in forked children of one process that has imported all.

`make fuzz` runs 10,000 cases in minutes, `make fuzz FUZZ_CASES=100000 FUZZ_SEED=7` a night's. Case N of a seed is the
same everywhere: `python tools/fuzz/run.py --seed 1 --only N` runs it again and shows what it did.

A case takes a command that works (templates.py), spoils a file or an option (mutations.py), and checks that the command
ended in time with a code of its own (0, 2, 3 or 4), said why in one line, changed no input, left nothing beside its
outputs, and that what it wrote is whole and finite. Failures are kept in OUT/failures with the line that repeats them.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import importlib
import json
import os
import pkgutil
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ |= {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    **dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"), "1"),
    **{"TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "200", "PYTHONUTF8": "1"},
}
sys.path.insert(0, str(Path(__file__).parent))

from mutations import BAD_OPTIONS, mutate_file, remove  # after the settings that libraries read
from templates import TEMPLATES, Template

SECONDS, MEMORY_BYTES = 60, 3 << 30
_CODES = (0, 2, 3, 4)
_INVALID = 97
_KEPT = 3
_OUTPUTS = ("--out", "--output", "--html", "--report")
_LONG_WORK = re.compile(
    r"--(epochs|steps|seeds|min-steps|budget|dupe-factor|workers|parallel-seeds|evaluations.*|patience)"
)
_TO_LEAVE = ("--help", "--version", "--engine", "--engine-address", "--compile")
"""`--compile` takes its minutes in a compiler."""


@dataclass
class Case:
    """One bad invocation: what it starts from, and what was spoilt."""

    number: int
    template: Template
    arguments: list[str]
    spoilt: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The command as it is typed, with what was spoilt."""
        command = " ".join(shlex.quote(each if len(each) < 60 else each[:57] + "...") for each in self.arguments)
        return f"bertkit {command}" + "".join(f"  # {said}" for said in self.spoilt)


def make_case(seed: int, number: int, options: dict[str, list[str]], workshop: Path, folder: Path) -> Case:
    """Draw case `number` of a seed and put its files into the empty `folder`."""
    draw = random.Random(f"{seed}-{number}")
    template = draw.choices(TEMPLATES, [each.weight for each in TEMPLATES])[0]
    case = Case(number, template, list(template.arguments))
    _copy_inputs(case, workshop, folder)
    for _ in range(1 if draw.random() < 0.85 else 2):
        if draw.random() < 0.6:
            _spoil_file(case, folder, draw)
        else:
            _spoil_option(case, options[template.command], draw)
    return case


def make_workshop(folder: Path) -> None:
    """Fill the empty `folder` in a process of its own, which leaves this one without threads and small."""
    script = "import sys, pathlib; sys.path.insert(0, sys.argv[1])\n"
    script += "import workshop; workshop.build(pathlib.Path(sys.argv[2]))"
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(folder.resolve())]
    done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"the workshop could not be made:\n{done.stderr}")


def plain_case(number: int, template: Template, said: str) -> Case:
    """A case that spoils nothing."""
    return Case(number, template, list(template.arguments), [said])


def _copy_inputs(case: Case, workshop: Path, folder: Path) -> None:
    for name in case.template.reads:
        source = workshop / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)


def _spoil_file(case: Case, folder: Path, draw: random.Random) -> None:
    name = draw.choice(case.template.reads)
    files = [folder / name]
    if files[0].is_dir():
        files = sorted(path for path in files[0].rglob("*") if path.is_file() and path.name != ".lock")
    files = [path for path in files if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK | os.W_OK)]
    if files:
        path = draw.choice(files)
        case.spoilt.append(f"{path.relative_to(folder)}: {mutate_file(path, draw)}")


def _spoil_option(case: Case, options: list[str], draw: random.Random) -> None:
    values = list(BAD_OPTIONS)
    given = range(1, len(case.arguments))
    if draw.random() < 0.35:
        place = draw.choice(given)
        before = case.arguments[place - 1]
        if not (before.startswith("--") and _LONG_WORK.fullmatch(before)):
            case.arguments[place] = draw.choice(values)
        return
    name = draw.choice(options)
    if _LONG_WORK.fullmatch(name):
        values = [value for value in values if not (value[:1].isdigit() and value not in ("0", "1", "2.5", "1,2"))]
    value = draw.choice(values)
    case.arguments += draw.choice(([name, value], [f"{name}={value}"], [name]))


def options_of(command: str) -> list[str]:
    """The options of a command by their names."""
    from bertkit.cli.main import build_app

    found = build_app()[command].assemble_argument_collection()
    names = {name for argument in found for name in argument.names if name.startswith("--")}
    return [*sorted(names - set(_TO_LEAVE)), "--config", "--unknown"]


_LIBRARIES = (
    *("numpy", "torch", "torch._dynamo", "torch.distributed.checkpoint", "torch.utils.tensorboard", "tensorboard"),
    *(
        "pyarrow.parquet",
        "pyarrow.compute",
        "tokenizers",
        "safetensors.torch",
        "safetensors.numpy",
        "nupunkt",
        "datasets",
    ),
    *("sklearn.metrics", "scipy.stats", "matplotlib.pyplot", "matplotlib.backends.backend_svg", "jinja2", "msgspec"),
    *("huggingface_hub", "rich.table", "rich.progress", "cyclopts.help", "onnx", "torch.distributed.fsdp"),
)


def preload() -> None:
    """Import all that any command imports, so that children only fork; nothing is computed here."""
    import bertkit

    names = [module.name for module in pkgutil.walk_packages(bertkit.__path__, "bertkit.")]
    for name in (*_LIBRARIES, *names):
        if not name.endswith("__main__"):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)


def child(case: Case, folder: Path) -> None:
    """Run a case in this process, which is a forked one, and end it."""
    os.setpgid(0, 0)
    os.chdir(folder)
    out, err = (
        os.open(folder.parent / f"{folder.name}.{name}", os.O_WRONLY | os.O_CREAT, 0o600) for name in ("out", "err")
    )
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in ((0, "r"), (1, "w"), (2, "w")))
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    code = 1
    try:
        from bertkit.cli.main import run

        code = run(case.arguments)
        sys.stdout.flush()
        resource.setrlimit(resource.RLIMIT_AS, (most, most))  # what follows is the check's own
        if code == 0 and (problem := invalid(case, folder)):
            print(f"INVALID {problem}", file=sys.stderr)
            code = _INVALID
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # what Python itself would do
        import traceback

        traceback.print_exc()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def invalid(case: Case, folder: Path) -> str | None:
    """What is wrong with what a command wrote and called good; None where nothing is."""
    if "--json" in case.arguments:
        text = (folder.parent / f"{folder.name}.out").read_text(encoding="utf-8", errors="surrogateescape")
        with contextlib.suppress(json.JSONDecodeError):
            json.loads(text, parse_constant=_not_finite)
            text = ""
        for line in filter(None, text.split("\n")):
            json.loads(line, parse_constant=_not_finite)
    for name in case.template.writes:
        path = folder / name
        if not path.exists() or case.template.changes:
            continue
        if problem := _invalid_file(path):
            return f"{name}: {problem}"
    return None


def _not_finite(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _invalid_file(path: Path) -> str | None:
    import numpy as np

    if path.is_dir():
        found = [_invalid_file(each) for each in sorted(path.rglob("*.safetensors")) if "checkpoints" not in each.parts]
        return next((problem for problem in found if problem), None)
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        broken = [name for name, array in load_file(path).items() if not np.isfinite(array.astype(np.float32)).all()]
        return f"{path.name} is not finite: {broken[0]}" if broken else None
    if path.suffix == ".npy":
        array = np.load(path, allow_pickle=False)
        return None if np.isfinite(array.astype(np.float64)).all() else "not finite"
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        vectors = pq.read_table(path)["embedding"].combine_chunks().flatten()
        return None if np.isfinite(vectors.to_numpy(zero_copy_only=False)).all() else "not finite"
    if path.suffix == ".jsonl":
        for line in filter(None, path.read_text(encoding="utf-8").split("\n")):
            json.loads(line, parse_constant=_not_finite)
    if path.suffix in (".csv", ".tsv"):
        csv.field_size_limit(1 << 30)
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",", quoting=csv.QUOTE_MINIMAL)
            for row in rows:
                scores = [value for name, value in row.items() if name and name.startswith(("probability", "score"))]
                if any(value in ("nan", "inf", "-inf") for value in scores):
                    return "not finite"
    return None


def snapshot(folder: Path) -> dict[str, str]:
    """All that is in a folder, by name, with its content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link {path.readlink()}"
        elif path.is_file() and not os.access(path, os.R_OK):
            found[name] = "unreadable"
        elif path.is_file():
            found[name] = hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
        else:
            found[name] = "folder" if path.is_dir() else "other"
    return found


def judged(case: Case, code: int, error: str, before: dict[str, str], after: dict[str, str]) -> str | None:
    """What a case did that it must not; None for nothing."""
    trace = re.findall(r'File "[^"]*bertkit/([^"]+)", line (\d+)', error)
    if "Traceback" in error:
        last = next(
            (
                line
                for line in reversed(error.splitlines())
                if re.match(r"[\w.]*(Error|Exception|Interrupt|Exit)\b", line)
            ),
            "?",
        )
        return f"traceback {last.split(':')[0]} in {':'.join(trace[-1]) if trace else '?'}"
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    if code == _INVALID:
        return f"invalid output: {error.strip().splitlines()[-1][:100]}"
    if code not in _CODES:
        return f"exit code {code}"
    lines = [line for line in error.splitlines() if line.startswith("bertkit: error: ")]
    if len(lines) != (code != 0):
        return f"{len(lines)} error lines with exit code {code}"
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", error):
        return "a control character in a message"
    mine = case.template.changes
    for name, content in before.items():
        if name.split("/")[0] not in mine and after.get(name) != content and not name.endswith(".lock"):
            return f"an input was changed or lost: {name if code else 'with exit code 0'}"
    new = [name for name in after if name not in before and name.split("/")[0] not in mine]
    named = any(argument.partition("=")[0] in _OUTPUTS for argument in case.arguments[len(case.template.arguments) :])
    named = named or case.arguments[: len(case.template.arguments)] != list(case.template.arguments)
    if any(argument.startswith("--shard") for argument in case.arguments):  # whose parts wait for those of others
        new = [name for name in new if not name.split("/")[0].endswith(".parts")]
    hidden = [name for name in new if name.startswith(".") or name.endswith(".partial")]
    if hidden and code != 3:
        return f"left behind with exit code {code}: {re.sub(r'[0-9a-f]{6,}|[0-9]+', 'N', hidden[0])}"
    if code == 2 and new and not named:
        return f"left behind with exit code 2: {re.sub(r'[0-9]+', 'N', new[0])}"
    if (
        code == 0
        and not named
        and (strange := [name for name in new if name.split("/")[0] not in case.template.writes])
    ):
        return f"written though nobody asked: {strange[0]}"
    return None


@dataclass
class Running:
    """A child at work."""

    case: Case
    folder: Path
    before: dict[str, str]
    start: float


class Fuzzer:
    """Draws, runs and judges cases, several at a time."""

    def __init__(self, seed: int, out: Path, jobs: int) -> None:
        self.seed, self.out, self.jobs = seed, out, jobs
        self.workshop = out / "workshop"
        self.failures: dict[str, list[Case]] = {}
        self.codes: Counter[str] = Counter()
        self.done = 0
        self._running: dict[int, Running] = {}

    def prepare(self) -> None:
        """Make the workshop in a process of its own, and import all."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.workshop.mkdir(parents=True)
        make_workshop(self.workshop)
        preload()
        self.options = {name: options_of(name) for name in {each.command for each in TEMPLATES}}

    def run(self, numbers: Any) -> None:
        """Run the cases of these numbers."""
        for number in numbers:
            folder = self.out / "cases" / f"{number:06d}"
            folder.mkdir(parents=True)
            self._start(make_case(self.seed, number, self.options, self.workshop, folder), folder)
        self.finish()

    def run_case(self, case: Case) -> None:
        """Start a case that spoils nothing."""
        self._start(case, self.folder_of(case))

    def folder_of(self, case: Case) -> Path:
        """A folder with the inputs of a case as they are."""
        folder = self.out / "cases" / f"{case.number:06d}"
        folder.mkdir(parents=True)
        _copy_inputs(case, self.workshop, folder)
        return folder

    def finish(self) -> None:
        """Wait for all that runs."""
        while self._running:
            self._reap()

    def note(self, case: Case, code: int, problem: str | None, error: str = "") -> Path | None:
        """Count how a case ended; a new kind of failure gets a folder, which is returned."""
        self.done += 1
        self.codes[str(code)] += 1
        if problem is None:
            return None
        known = self.failures.setdefault(f"{case.template.command}: {problem}", [])
        known.append(case)
        if len(known) > _KEPT:
            return None
        kept = self.out / "failures" / f"{case.number:06d}"
        kept.mkdir(parents=True, exist_ok=True)
        said = f"{self._repeat(case)}\n{case.line}\n{problem}\n"
        (kept / "command.txt").write_text(said, "utf-8", "backslashreplace")
        (kept / "stderr").write_text(error, "utf-8", "backslashreplace")
        return kept

    def _start(self, case: Case, folder: Path) -> None:
        before = snapshot(folder)
        process = os.fork()
        if not process:
            child(case, folder.resolve())
        self._running[process] = Running(case, folder, before, time.monotonic())
        while len(self._running) >= self.jobs:
            self._reap()

    def _reap(self) -> None:
        process, status = os.waitpid(-1, os.WNOHANG)
        if not process:
            for number, one in self._running.items():
                if time.monotonic() - one.start > SECONDS:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(number, signal.SIGKILL)
            time.sleep(0.002)
            return
        one = self._running.pop(process)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process, signal.SIGKILL)  # what a child has started
        code = os.waitstatus_to_exitcode(status)
        streams = {name: one.folder.parent / f"{one.folder.name}.{name}" for name in ("out", "err")}
        error = streams["err"].read_text(encoding="utf-8", errors="replace") if streams["err"].exists() else ""
        hung = code == -signal.SIGKILL and time.monotonic() - one.start > SECONDS
        problem = "hang" if hung else judged(one.case, code, error, one.before, snapshot(one.folder))
        if (kept := self.note(one.case, code, problem, error)) is not None:
            shutil.move(streams["out"], kept / "stdout")
        for path in streams.values():
            path.unlink(missing_ok=True)
        for path in one.folder.rglob("*"):
            if not path.is_symlink():
                path.chmod(0o700)
        remove(one.folder)

    def _repeat(self, case: Case) -> str:
        return f"python tools/fuzz/run.py --seed {self.seed} --only {case.number}"

    def report(self, seconds: float) -> dict[str, Any]:
        """All figures, for people and for the results file."""
        kinds = sorted(self.failures.items(), key=lambda item: -len(item[1]))
        return {
            "seed": self.seed,
            "cases": self.done,
            "seconds": round(seconds, 1),
            "exit codes": dict(sorted(self.codes.items())),
            "failures": sum(len(cases) for _, cases in kinds),
            "kinds": [
                {"what": what, "count": len(cases), "repeat": self._repeat(one), "line": one.line}
                for what, cases in kinds
                for one in [min(cases, key=lambda case: len(case.line))]
            ],
        }


def main() -> None:
    """Run, print what failed, and end with 1 if anything did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--only", type=int, help="run this case alone and show what it printed")
    given = parser.parse_args()
    fuzzer = Fuzzer(given.seed, given.out, given.jobs)
    fuzzer.prepare()
    start = time.monotonic()
    fuzzer.run([given.only] if given.only is not None else range(given.first, given.first + given.cases))
    found = fuzzer.report(time.monotonic() - start)
    shutil.rmtree(given.out / "cases", ignore_errors=True)
    (given.out / "result.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8", "backslashreplace")
    for kind in found["kinds"]:
        print(f"{kind['count']:5} {kind['what']}\n      {kind['line']!a}\n      {kind['repeat']}")
    print({name: value for name, value in found.items() if name != "kinds"})
    if given.only is not None and found["kinds"]:
        print((given.out / "failures" / f"{given.only:06d}" / "stderr").read_text("utf-8", "replace"))
    sys.exit(bool(found["failures"]))


if __name__ == "__main__":
    main()
