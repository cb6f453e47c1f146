"""What a user names as an output is never lost and never half written."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from bertkit.core.errors import InputError, ResourceError
from bertkit.core.outputs import check_output_file, output_file, output_folder

OWN = {"own": ("config.json", "part-*"), "what": "a model"}


def _write(path: Path, **options: object) -> None:
    with output_file(path, **options) as temporary:  # type: ignore[arg-type]
        temporary.write_text("new")


def _contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["in.csv", "./in.csv", "hard", "link", "through/in.csv", "parent/../in.csv"])
def test_an_input_is_no_output_by_any_of_its_names(tmp_path: Path, name: str, overwrite: bool):
    source = tmp_path / "in.csv"
    source.write_text("kept")
    (tmp_path / "parent").mkdir()
    (tmp_path / "hard").hardlink_to(source)
    (tmp_path / "link").symlink_to("in.csv")
    (tmp_path / "through").symlink_to(".")
    for inputs in ([source], [tmp_path / "elsewhere", str(tmp_path / "link")]):
        with pytest.raises(InputError, match="is one of the inputs and would be lost: choose another name"):
            _write(tmp_path / name, inputs=inputs, overwrite=overwrite)
    assert source.read_text() == "kept"
    assert len([*tmp_path.iterdir()]) == 5


def test_an_input_that_is_not_there_yet_is_no_output_either(tmp_path: Path):
    with pytest.raises(InputError, match="is one of the inputs"):
        _write(tmp_path / "a.csv", inputs=[tmp_path / "b" / ".." / "a.csv"])


def test_another_file_in_a_folder_of_inputs_is_an_output(tmp_path: Path):
    for overwrite in (False, True):
        _write(tmp_path / "page.html", inputs=[tmp_path], overwrite=overwrite)
    assert _contents(tmp_path) == {"page.html": "new"}


def test_what_is_there_already_is_replaced_only_where_that_is_asked_for(tmp_path: Path):
    (tmp_path / "a.csv").write_text("old")
    with pytest.raises(InputError, match=r"a\.csv is there already: choose another name, or .* --overwrite"):
        _write(tmp_path / "a.csv")
    assert _contents(tmp_path) == {"a.csv": "old"}
    _write(tmp_path / "a.csv", overwrite=True)
    (tmp_path / "empty.csv").touch()
    _write(tmp_path / "empty.csv")
    assert _contents(tmp_path) == {"a.csv": "new", "empty.csv": "new"}


def test_a_file_that_came_while_the_output_was_made_stays(tmp_path: Path):
    with pytest.raises(InputError, match="is there already"), output_file(tmp_path / "a.csv") as temporary:
        temporary.write_text("new")
        (tmp_path / "a.csv").write_text("somebody else's")
    assert _contents(tmp_path) == {"a.csv": "somebody else's"}


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"folder is no file: name a file"):
        _write(tmp_path / "folder", overwrite=True)
    with pytest.raises(InputError, match=r"file is a file: name a folder"), output_folder(tmp_path / "file", **OWN):
        pass


def test_a_folder_of_its_own_kind_is_replaced_as_a_whole_where_that_is_asked_for(tmp_path: Path):
    target = tmp_path / "model"
    for text, overwrite in (("old", False), ("new", True)):
        with output_folder(target, overwrite=overwrite, **OWN) as temporary:
            (temporary / "config.json").write_text(text)
            (temporary / f"part-{text}").touch()
        with pytest.raises(InputError, match="is there already"), output_folder(target, **OWN):
            pass
    assert _contents(target) == {"config.json": "new", "part-new": ""}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_something_else_in_it_stays(tmp_path: Path, overwrite: bool):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").touch()
    (tmp_path / "model" / "notes.md").write_text("kept")
    with (
        pytest.raises(InputError, match=r"holds notes\.md, which is not of a model and would be lost"),
        output_folder(tmp_path / "model", overwrite=overwrite, **OWN),
    ):
        pass
    assert _contents(tmp_path) == {"model/config.json": "", "model/notes.md": "kept"}


def test_a_folder_that_holds_an_input_or_the_current_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = tmp_path / "model"
    model.mkdir()
    (model / "part-1").write_text("kept")
    (tmp_path / "link").symlink_to("model/part-1")
    for inputs in ([model], [model / "part-1"], [tmp_path / "link"]):
        with (
            pytest.raises(InputError, match=r"holds the input .*, which would be lost"),
            output_folder(model, inputs=inputs, overwrite=True, **OWN),
        ):
            pass
    monkeypatch.chdir(model)
    with pytest.raises(InputError, match="is the current folder"), output_folder(model, overwrite=True, **OWN):
        pass
    assert _contents(model) == {"part-1": "kept"}


def test_an_empty_folder_and_a_link_to_one_are_filled(tmp_path: Path):
    (tmp_path / "big").mkdir()
    (tmp_path / "model").symlink_to("big")
    for overwrite in (False, True):
        with output_folder(tmp_path / "model", overwrite=overwrite, **OWN) as temporary:
            (temporary / "config.json").write_text("new")
    assert (tmp_path / "model").readlink() == Path("big")
    assert _contents(tmp_path / "big") == {"config.json": "new"}
    assert len([*tmp_path.iterdir()]) == 2


WRITERS: dict[str, Callable[[Path], AbstractContextManager[Path]]] = {
    "file": output_file,
    "folder": lambda path: output_folder(path, **OWN),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_second_writer_is_refused_until_the_first_has_ended_or_was_killed(tmp_path: Path, kind: str):
    script = (
        "import sys, time\nfrom bertkit.core.outputs import *\n"
        f"path = {str(tmp_path / 'out')!r}\n"
        f"with {'output_file(path)' if kind == 'file' else 'output_folder(path, own=(), what=str())'}:\n"
        "    print('begun', flush=True)\n    time.sleep(60)"
    )
    first = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert first.stdout is not None
    assert first.stdout.readline() == b"begun\n"
    with pytest.raises(ResourceError, match="is being written by another process"), WRITERS[kind](tmp_path / "out"):
        pass
    with WRITERS[kind](tmp_path / "other"):  # which takes nothing from the first one
        pass
    assert len([*tmp_path.iterdir()]) == 2
    first.kill()
    first.communicate()
    with WRITERS[kind](tmp_path / "out"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out"]


def test_of_writers_that_start_together_one_writes(tmp_path: Path):
    script = f"import sys\nfrom bertkit.core.outputs import *\npath = {str(tmp_path / 'out')!r}\n"
    script += "print('ready', flush=True)\nsys.stdin.readline()\n"
    script += "with output_file(path) as temporary:\n    temporary.write_text('new')\n    sys.stdin.readline()\n"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    writers = [subprocess.Popen([sys.executable, "-c", script], **pipes) for _ in range(4)]
    for writer in writers:
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    refused = [writer.communicate()[1] for writer in writers]
    codes = sorted(writer.returncode for writer in writers)
    assert codes[0] == 0, refused
    assert all(b"being written by another" in line or b"there already" in line for line in refused if line)
    assert _contents(tmp_path) == {"out": "new"}


def test_a_pipe_gets_the_bytes_and_stays_a_pipe(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "link.csv").symlink_to("pipe.csv")
    for name in ("pipe.csv", "link.csv"):
        read: list[str] = []
        reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe.csv").read_text()))  # noqa: B023
        reader.start()
        check_output_file(tmp_path / name)
        _write(tmp_path / name)
        reader.join()
        assert read == ["new"]
    assert (tmp_path / "pipe.csv").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.csv", "pipe.csv"]


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "link"])
@pytest.mark.parametrize("where", ["a pipe", "a file"])
def test_standard_output_is_written_to_whatever_it_is(tmp_path: Path, name: str, where: str):
    (tmp_path / "link").symlink_to("/dev/stdout")
    path = str(tmp_path / name)
    script = "from bertkit.core.outputs import output_file\nprint('before', flush=True)\n"
    script += f"with output_file({path!r}) as temporary: temporary.write_text('new\\n')\nprint('after')"
    if where == "a pipe":
        said = subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE).stdout
    else:
        with (tmp_path / "said").open("wb") as file:
            subprocess.run([sys.executable, "-c", script], check=True, stdout=file)
        said = (tmp_path / "said").read_bytes()
    assert said == b"before\nnew\nafter\n"
    assert Path("/dev/stdout").is_symlink()


def test_nothing_is_written_to_dev_null_but_all_is_well():
    _write(Path("/dev/null"))
    assert Path("/dev/null").is_char_device()


def test_an_output_that_fails_leaves_the_old_one_and_no_pipe_is_written(tmp_path: Path):
    (tmp_path / "a.csv").write_text("old")
    with pytest.raises(RuntimeError), output_file(tmp_path / "a.csv", overwrite=True) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    with pytest.raises(RuntimeError), output_file("/dev/stdout") as temporary:
        raise RuntimeError
    assert _contents(tmp_path) == {"a.csv": "old"}
