"""A script can tell from the exit code what it may do: change its input, try again, change the training."""

import errno
import subprocess
import sys

import pytest

from bertkit.cli import convert, main
from bertkit.core.errors import BertkitError, DivergedError, InputError, MemoryLimitError, RankError, ResourceError

COMMAND = ["convert", "source", "target"]


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
    ],
)
def test_a_machine_that_is_full_is_one_line(failing, capsys, error: Exception, said: str):
    failing(error)
    assert main.run(COMMAND) == 3
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["no-such-command"], ["convert"], [*COMMAND, "--to", "nothing"], [*COMMAND, "-x"]]
)
def test_a_wrong_command_line_is_one_line_and_2(capsys, arguments: list[str]):
    assert main.run(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_interrupt_is_130(failing, capsys):
    failing(KeyboardInterrupt())
    assert main.run(COMMAND) == 130
    assert capsys.readouterr().err.startswith("bertkit: error: interrupted")


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
