"""The checks of `make torture` see what they are there for."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools" / "torture"))
try:
    from commands import Command, Expected, contents
finally:
    del sys.path[0]

ONE = Command("one", (), ("p.csv",))
PARTS = Command("parts", (), ("data/*",), in_parts=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("given/a.csv", "out/p.csv", "out/data/0", "out/data/1"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def _expected(folder: Path, command: Command, old: dict[str, str] | None = None) -> Expected:
    return Expected(contents(folder / "given"), old or {}, contents(folder / "out", command.result), 1.0)


@pytest.mark.parametrize("command", [ONE, PARTS], ids=lambda command: command.name)
def test_a_result_that_is_whole_or_absent_is_as_promised(folder: Path, command: Command):
    expected = _expected(folder, command)
    assert expected.problems(command, folder, "", ended=True) == []
    for name in list(expected.new):
        (folder / "out" / name).unlink()
        is_part = command.in_parts or not contents(folder / "out", command.result)
        assert expected.problems(command, folder, "", ended=False) == [] if is_part else ["a result is half written"]
    assert expected.problems(command, folder, "", ended=True) == ["the result differs"]


@pytest.mark.parametrize("command", [ONE, PARTS], ids=lambda command: command.name)
def test_a_result_that_is_half_written_is_seen(folder: Path, command: Command):
    expected = _expected(folder, command)
    (folder / "out" / next(iter(expected.new))).write_text("half")
    assert expected.problems(command, folder, "", ended=False) == ["a result is half written"]
    assert expected.problems(command, folder, "", ended=True) == ["the result differs"]


def test_an_old_result_that_is_lost_is_seen(folder: Path):
    for command in (ONE, PARTS):
        expected = _expected(folder, command, old={"p.csv": "of another content"})
        for name in expected.new:
            (folder / "out" / name).unlink()
        assert expected.problems(command, folder, "", ended=False) == ["a result is half written"]


def test_inputs_tracebacks_and_what_is_left_are_seen(folder: Path):
    expected = _expected(folder, ONE)
    (folder / "given" / "a.csv").write_text("changed")
    (folder / "out" / ".p.csv.0123456789abcdef.partial").touch()
    found = expected.problems(ONE, folder, "Traceback (most recent call last)", ended=True)
    assert found == ["an input changed", "a traceback", "left behind: out/.p.csv.0123456789abcdef.partial"]
