"""A script can tell from the exit code what it may do: change its input, try again, change the training."""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from bertkit.cli import convert, main
from bertkit.core.errors import BertkitError, DivergedError, InputError, MemoryLimitError, RankError, ResourceError

COMMAND = ["convert", "source", "target"]
HEADS = {
    "embed": "def command(model: str, /, *texts: str, output: Path)",
    "prepare": "def command(*texts: str, out: Path, static: bool = False)",
    "convert": "def command(source: str, target: Path, /)",
}


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Let the command end with an error."""

    def fail_with(error: BaseException) -> None:
        def command(source: str, target: str, /) -> None:
            raise error

        monkeypatch.setattr(convert, "convert", command)

    return fail_with


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("a value and its remedy"), 2),
        (ResourceError("a full disk and its remedy"), 3),
        (MemoryLimitError("a small memory and its remedy"), 3),
        (RankError("a lost process and its remedy"), 3),
        (DivergedError("a loss and its remedy"), 4),
    ],
)
def test_each_kind_of_error_is_one_line_and_a_code(failing, capsys, error: BertkitError, code: int):
    failing(error)
    assert main.run(COMMAND) == code
    assert capsys.readouterr().err == f"bertkit: error: {error}\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "memory of this machine is full"),
        (OSError(errno.ENOSPC, "No space left on device"), "no space left"),
        (OSError(errno.EIO, "Input/output error", "a.txt"), "a.txt cannot be used (Input/output error)"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            "memory of this machine",
        ),
        (pa.lib.ArrowMemoryError("malloc of size 64 failed"), "memory of this machine is full"),
    ],
)
def test_a_machine_that_is_full_is_one_line(failing, capsys, error: Exception, said: str):
    failing(error)
    assert main.run(COMMAND) == 3
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "a.txt"), "a.txt cannot be used (Permission denied)"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.txt"), "a.txt does not exist"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 300), f"{'a' * 199}… cannot be used"),
        (RecursionError(), "nested too deeply"),
    ],
)
def test_a_path_or_text_that_no_reader_has_named_is_one_line(failing, capsys, error: Exception, said: str):
    failing(error)
    assert main.run(COMMAND) == 2
    shown = capsys.readouterr().err
    assert said in shown and shown.count("\n") == 1


def test_a_mistake_in_the_code_is_no_line(failing):
    for error in (RuntimeError("bug"), OSError("bug"), TypeError("bug")):
        failing(error)
        with pytest.raises(type(error), match="bug"):
            main.run(COMMAND)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_output_that_finds_no_space_is_one_line_and_3():
    script = "from bertkit.cli import convert, main\nconvert.convert = lambda source, target, /: print('x')\n"
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", f"{script}main.main({COMMAND!r})"],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert ended.returncode == 3
    assert ended.stderr.startswith("bertkit: error: no space left") and ended.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["../x", "a/b", "x" * 300, "."])
def test_a_recipe_of_another_name_is_one_line(capsys, tmp_path: Path, name: str):
    (tmp_path / "options.yaml").write_text(f"recipe: {name}\n")
    for given in (["--recipe", name], ["--config", str(tmp_path / "options.yaml")]):
        assert main.run(["pretrain", "data", "--out", str(tmp_path / "run"), *given]) == 2
        shown = capsys.readouterr().err
        assert "recipe" in shown and shown.count("\n") == 1


@pytest.mark.parametrize(
    "content", [b"- " * 3000 + b"a", b"steps: " + b"9" * 6000, b"a: 2026-99-99", b"[1, 2]", b"1: 2", b"\xff", b"a: ["]
)
def test_a_file_of_options_that_is_none_is_one_line(capsys, tmp_path: Path, content: bytes):
    path = tmp_path / "options.yaml"
    path.write_bytes(content)
    assert main.run(["pretrain", "data", "--out", str(tmp_path / "run"), "--config", str(path)]) == 2
    shown = capsys.readouterr().err
    assert "options.yaml" in shown and shown.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["no-such-command"], ["convert"], [*COMMAND, "--to", "nothing"], [*COMMAND, "-x"]]
)
def test_a_wrong_command_line_is_one_line_and_2(capsys, arguments: list[str]):
    assert main.run(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_interrupt_is_130(failing, capsys):
    failing(KeyboardInterrupt())
    assert main.run(COMMAND) == 130
    assert capsys.readouterr().err == "bertkit: error: interrupted\n"


WAITING = """
import sys, time
from pathlib import Path
from bertkit.cli import main, convert, {module}
from bertkit.core.outputs import output_file
def command(*texts, **options):
    with output_file({path!r}) as temporary:
        temporary.write_text("half")
        print("begun", flush=True)
        time.sleep(60)
{module}.{name} = command
main.main({arguments!r})
"""


@pytest.mark.parametrize(
    ("command", "module", "resumes"),
    [
        (["embed", "model", "text", "--output", "v.npy"], "embed", True),
        (["prepare", "text", "--out", "o"], "prepare", True),
        (["prepare", "text", "--static", "--out", "o"], "prepare", False),
        (["vocab", "text", "--out", "o"], "prepare", False),
        (["convert", "source", "target"], "convert", False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.parametrize(("number", "word", "code"), [("SIGINT", "interrupted", 130), ("SIGTERM", "terminated", 143)])
def test_a_signal_is_one_line_and_leaves_nothing_behind(
    tmp_path: Path, command: list[str], module: str, resumes: bool, number: str, word: str, code: int
):
    script = WAITING.format(module=module, name=command[0], path=str(tmp_path / "out"), arguments=command)
    script = script.replace(
        "def command(*texts, **options)", HEADS.get(command[0], "def command(*texts: str, out: Path)")
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    for _ in range(2):  # as `timeout` sends it
        process.send_signal(getattr(signal, number))
    assert process.communicate()[1] == f"bertkit: error: {word}{': give the same command again to resume' * resumes}\n"
    assert process.returncode == code
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_has_gone_is_no_error():
    script = "from bertkit.cli import convert, main\nconvert.convert = lambda source, target, /: print('x' * 10**6)\n"
    program = [sys.executable, "-c", f"{script}main.main({COMMAND!r})"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_a_bug_is_a_traceback_and_1():
    script = "from bertkit.cli import convert, main\nconvert.convert = lambda source, target, /: 1 / 0\n"
    script += f"main.main({COMMAND!r})\n"
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_an_error_is_said_where_memory_does_not_suffice_to_show_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "bertkit.core.console", None)  # an import of it fails
    assert main.run(["convert", "a\x1bb"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("bertkit: error: ") and "\x1b" not in error
