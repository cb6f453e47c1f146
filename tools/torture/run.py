"""Kills and full disks for every command that writes: what is whole, what is left, and whether the same call mends it.

`make torture` kills 100 times and fills the disk 100 times, and writes its figures into docs/reliability.md. Processes
are killed by SIGKILL and SIGTERM, alone and with all that they started, training in two processes too. Disks are full
at sizes from nothing up to what the command needs: a tmpfs that this program mounts in a namespace of its own, which
needs Linux and `unshare`; elsewhere those rows are left out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
os.environ |= {"TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": ""}
sys.path.insert(0, str(Path(__file__).parent))

from commands import COMMANDS, Command, Expected, contents, finish, leftovers, make_given, set_out, start, wait

_PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
_BEGIN, _END = "<!-- figures of make torture -->", "<!-- end of the figures of make torture -->"
_RESOURCE_ERROR, _TERMINATED = 3, 143
_PAGE_BYTES = 4096
"""Of a tmpfs."""
_ROOM = 1.3
"""Of the bytes that a finished command leaves, what is enough for it to work."""


@dataclass
class Row:
    """What became of one command."""

    name: str
    kills: int = 0
    terminations: int = 0
    """Of the kills, by SIGTERM."""
    full_disks: int = 0
    problems: list[str] = field(default_factory=list)

    def note(self, what: str, found: Sequence[str], said: str) -> None:
        """Add what is not as promised."""
        self.problems += [f"{self.name}, {what}: {one}; it said {said[-400:]!r}" for one in found]


def _one_line(said: str, word: str) -> list[str]:
    lines = [line for line in said.splitlines() if line.startswith("bertkit: error: ")]
    return [] if len(lines) == 1 and word in lines[0] else [f"no line with {word!r}"]


def kill(command: Command, folder: Path, kills: int, rng: random.Random) -> Row:
    """Start it again and again, kill it at a random moment each time, and let it end now and then."""
    row, expected, said = Row(command.name), Expected.of(command, folder), folder / "said"
    while row.kills < kills:
        set_out(command, folder)
        for _ in range(rng.randint(1, 3)):
            before = set(leftovers(folder))  # of a kill that no program hears of
            process = start(command.arguments, folder, said)
            code = wait(process, rng.uniform(0.02, 1.0) * expected.seconds)
            if code is None:
                terminates, everyone = rng.random() < 0.5, rng.random() < 0.5
                number = signal.SIGTERM if terminates else signal.SIGKILL
                with suppress(ProcessLookupError):  # before it has a group
                    (os.killpg if everyone else os.kill)(process, number)
                code = wait(process)
                row.kills, row.terminations = row.kills + 1, row.terminations + terminates
            found = expected.problems(command, folder, text := said.read_text(), ended=code == 0)
            if code == _TERMINATED:
                found += _one_line(text, "terminated")
                new = [one for one in leftovers(folder) if one not in before and not one.endswith(".parts")]
                found += [f"left behind: {one}" for one in new]
            elif code not in (0, -signal.SIGKILL, -signal.SIGTERM):  # the last one in the moment before it is caught
                found.append(f"exit code {code}")
            row.note("killed", found, text)
            if code == 0:
                set_out(command, folder)
        code = finish(command.arguments, folder, said)
        found = expected.problems(command, folder, text := said.read_text(), ended=True)
        row.note("called again", [*found, *([f"exit code {code}"] if code else [])], text)
    return row


def fill(command: Command, folder: Path, disk: Path, times: int, rng: random.Random) -> Row:
    """Run it on disks that are too small, until so many were full, each time once more with room."""
    row, said = Row(command.name), folder / "said"
    expected = Expected.of(command, folder)
    needed = _ROOM * sum(path.stat().st_size for path in (folder / "out").rglob("*") if path.is_file())
    shutil.rmtree(folder / "out")
    (folder / "out").symlink_to(disk)
    while row.full_disks < times:
        for entry in disk.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        _resize(disk, 1 << 30)
        if command.before and finish(command.before, folder, said):
            raise SystemExit(said.read_text())
        used = shutil.disk_usage(disk).used
        room = max(_PAGE_BYTES, int(needed * rng.random()))
        _resize(disk, used + room)
        code = finish(command.arguments, folder, said)
        found = expected.problems(command, folder, text := said.read_text(), ended=code == 0)
        if code:
            row.full_disks += 1
            found += _one_line(text, "no space left")
            found += [f"exit code {code}"] if code != _RESOURCE_ERROR else []
        else:
            needed = room  # that was enough: smaller ones from now on
            if room == _PAGE_BYTES:
                raise SystemExit(f"{command.name} writes less than a disk can be too small for")
        row.note(f"on a disk with room for {room} bytes", found, text)
        _resize(disk, 1 << 30)
        if code:
            code = finish(command.arguments, folder, said)
            found = expected.problems(command, folder, text := said.read_text(), ended=True)
            row.note("called again with room", [*found, *([f"exit code {code}"] if code else [])], text)
    (folder / "out").unlink()
    return row


def _resize(disk: Path, size: int) -> None:
    options = f"remount,size={size}" if os.path.ismount(disk) else f"size={size}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "bertkit-torture", str(disk)], check=True)


def _workers(launcher: int) -> list[int]:
    """The processes that torchrun has started."""
    with suppress(FileNotFoundError):
        return [int(child) for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()]
    return []


def kill_job(name: str, parallel: str, folder: Path, kills: int, rng: random.Random) -> Row:
    """Kill one process of a training in two, which torchrun starts again, or all of it, which is started again here."""
    row = Row(name)
    job = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    job += [f"--max-restarts={kills}", "-m", "bertkit", "pretrain", "given/data", "--parallel", parallel]
    job += [
        "--preset",
        "tiny",
        "--steps",
        "24",
        "--batch-size",
        "8",
        "--seq-length",
        "32",
        "--checkpoint-every",
        "3",
        "--log-every",
        "2",
        "--out",
    ]
    begun = time.monotonic()
    subprocess.run([*job, "whole"], check=True, capture_output=True, cwd=folder)
    seconds = time.monotonic() - begun
    expected, process, partners = contents(folder / "whole" / "model"), None, 0
    while row.kills < kills or process is not None or (folder / "killed").exists():
        process = process or subprocess.Popen(
            [*job, "killed"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            pause = rng.uniform(0.3, 1.0) * seconds if row.kills < kills else None
            said = process.communicate(timeout=pause)[1]
            found = [] if process.returncode == 0 else [f"exit code {process.returncode}"]
            found += ["the result differs"] if contents(folder / "killed" / "model") != expected else []
            found += [f"left behind: {one}" for one in leftovers(folder / "killed")]
            row.note("ended", found, said)
            shutil.rmtree(folder / "killed")
            process, partners = None, 0
        except subprocess.TimeoutExpired:
            workers = _workers(process.pid)
            whole_job = rng.random() < 0.4 or not workers
            terminates = whole_job and rng.random() < 0.5
            number = signal.SIGTERM if terminates else signal.SIGKILL
            for victim in [process.pid, *workers] if whole_job else [rng.choice(workers)]:
                with suppress(ProcessLookupError):
                    os.kill(victim, number)
            row.kills, row.terminations = row.kills + 1, row.terminations + terminates
            if whole_job:
                said = process.communicate()[1]
                mine = [line for line in said.splitlines() if line.startswith("bertkit: error: ")]
                # A process whose partner was killed before says so, and the job has started again since.
                row.note("killed", [f"{len(mine)} lines"] if len(mine) > 1 + partners else [], said)
                process, partners = None, 0
            else:
                partners += 1
    return row


def _task(task: tuple[str, str, int, int]) -> Row:
    """One row, in a folder of its own."""
    kind, name, count, seed = task
    rng = random.Random(f"{seed} {task}")
    with tempfile.TemporaryDirectory(prefix="torture-") as place:
        folder = Path(place)
        shutil.copytree(os.environ["TORTURE_GIVEN"], folder / "given")
        begun = time.monotonic()
        if kind == "job":
            row = kill_job(name, name.split()[-1], folder, count, rng)
        else:
            command = next(one for one in COMMANDS if one.name == name)
            if kind == "kill":
                row = kill(command, folder, count, rng)
            else:
                (folder / "disk").mkdir()
                _resize(folder / "disk", 1 << 30)
                try:
                    row = fill(command, folder, folder / "disk", count, rng)
                finally:
                    subprocess.run(["umount", str(folder / "disk")], check=True)
        print(f"{kind} {name}: {time.monotonic() - begun:.0f} s, {len(row.problems)} problems", file=sys.stderr)
        for problem in row.problems:
            print(f"  {problem}", file=sys.stderr)
    return row


_PRELOADED = (
    *("bertkit.api", "bertkit.inference.load", "bertkit.inference.feature_file", "bertkit.inference.convert"),
    *("bertkit.cli.predict", "bertkit.cli.embed", "bertkit.cli.prepare", "bertkit.cli.doctor", "bertkit.cli.evaluate"),
    *("bertkit.data.corpus.train_tokenizer", "bertkit.data.instances.google_files", "sklearn.metrics"),
)


def _rows(tasks: Sequence[tuple[str, str, int, int]]) -> list[Row]:
    for module in _PRELOADED:  # once, and not in every process that is forked from here
        importlib.import_module(module)
    with get_context("fork").Pool(2) as pool:
        return pool.map(_task, tasks, chunksize=1)


def _shares(total: int, names: Sequence[str]) -> list[tuple[str, int]]:
    """`total` over the names, the first ones one more where it does not divide."""
    return [(name, total // len(names) + (place < total % len(names))) for place, name in enumerate(names)]


def _inside(count: int, seed: int) -> None:
    """The full disks, in a namespace that may mount; prints the rows as JSON."""
    names = [command.name for command in COMMANDS]
    print(json.dumps([asdict(row) for row in _rows([("fill", *share, seed) for share in _shares(count, names)])]))


def _full_disks(count: int, seed: int) -> list[Row]:
    may = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "x", "/mnt"], check=False, capture_output=True)
    if may.returncode:
        print(f"no full disks: {may.stderr.decode().strip()}", file=sys.stderr)
        return []
    here = [sys.executable, __file__, "--inside", "--full-disks", str(count), "--seed", str(seed)]
    done = subprocess.run(["unshare", "-rm", *here], check=True, stdout=subprocess.PIPE)
    return [Row(**row) for row in json.loads(done.stdout)]


def table(rows: Sequence[Row]) -> str:
    """The figures in Markdown."""
    lines = [
        "| command | kills | of them SIGTERM | full disks | not as promised |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    merged: dict[str, Row] = {}
    for row in rows:
        one = merged.setdefault(row.name, Row(row.name))
        one.kills, one.terminations = one.kills + row.kills, one.terminations + row.terminations
        one.full_disks += row.full_disks
        one.problems += row.problems
    total = Row("**all**")
    for row in merged.values():
        total.kills, total.terminations = total.kills + row.kills, total.terminations + row.terminations
        total.full_disks, total.problems = total.full_disks + row.full_disks, total.problems + row.problems
    for row in (*merged.values(), total):
        lines.append(f"| {row.name} | {row.kills} | {row.terminations} | {row.full_disks} | {len(row.problems)} |")
    return "\n".join(lines)


def main() -> None:
    """Torture, print the table, and put it into the page; exit with 1 where something is not as promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--full-disks", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 16))
    parser.add_argument("--only", default="", help="part of the names of the commands")
    parser.add_argument("--page", action="store_true", help="write the figures into docs/reliability.md")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        _inside(options.full_disks, options.seed)
        return
    print(f"seed {options.seed}", file=sys.stderr)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="torture-") as place:
        process = os.fork()
        if not process:  # so that no thread of a library is here when processes are forked
            make_given(Path(place))
            os._exit(0)
        if wait(process) != 0:
            raise SystemExit("the inputs could not be made")
        os.environ["TORTURE_GIVEN"] = str(Path(place) / "given")
        jobs = [f"pretrain in two processes, {parallel}" for parallel in ("ddp", "fsdp")]
        names = [command.name for command in COMMANDS if options.only in command.name]
        in_jobs = 0 if options.only else options.kills // 5
        tasks = [("job", *share, options.seed) for share in _shares(in_jobs, jobs) if in_jobs]
        tasks += [("kill", *share, options.seed) for share in _shares(options.kills - in_jobs, names)]
        rows = [*_rows(tasks), *(_full_disks(options.full_disks, options.seed) if options.full_disks else [])]
    shown = table(rows)
    print(f"{shown}\n\nseed {options.seed}, {time.monotonic() - begun:.0f} s")
    if options.page:
        text = _PAGE.read_text(encoding="utf-8")
        new = f"{_BEGIN}\n\n{shown}\n\n{_END}"
        _PAGE.write_text(re.sub(f"{_BEGIN}.*{_END}", lambda _: new, text, flags=re.DOTALL), encoding="utf-8")
    raise SystemExit(any(row.problems for row in rows))


if __name__ == "__main__":
    main()
