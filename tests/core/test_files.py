import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from bertkit.core.errors import InputError, ResourceError
from bertkit.core.files import atomic_folder, atomic_path, exclusive, read_json, remove_leftovers, write_json


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a.txt") as path:
        path.write_text("half")
        raise RuntimeError
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(ResourceError, match=r"no space left.*a\.txt.*free some"),
        atomic_path(tmp_path / "a.txt") as path,
    ):
        path.write_text("x")
    with pytest.raises(ResourceError, match="no space left"), atomic_folder(tmp_path / "folder") as path:
        (path / "b.txt").write_text("x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError("1694176 requested and 1335232 written"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_that_is_told_in_words_only_is_the_same_line(tmp_path: Path, error: Exception):
    with pytest.raises(ResourceError, match=r"no space left.*a\.txt"), atomic_path(tmp_path / "a.txt"):
        raise error


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path):
    for text in ("one", "two"):
        with atomic_folder(tmp_path / "folder") as path:
            (path / f"{text}.txt").write_text(text)
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["two.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_json_comes_back_and_a_broken_file_is_named(tmp_path: Path):
    write_json(tmp_path / "a.json", {"ä": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"ä": [1, 2.5, None]}
    (tmp_path / "a.json").write_text('{"cut')
    with pytest.raises(InputError, match=r"a\.json"):
        read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match=r"b\.json"):
        read_json(tmp_path / "b.json")


def test_a_folder_in_use_is_refused_until_its_holder_dies(tmp_path: Path):
    script = (
        "import sys, time\nfrom bertkit.core.files import exclusive\n"
        f"with exclusive({str(tmp_path)!r}):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(ResourceError, match="in use"), exclusive(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with exclusive(tmp_path):
        pass


def _killed_while(statement: str, folder: Path) -> None:
    """Run a statement that writes below `folder`, in a process that is killed in the middle of it."""
    script = "import os, signal\nfrom pathlib import Path\n"
    script += "from bertkit.core import files\nfrom bertkit.core.files import *\n"
    script += f"folder = Path({str(folder)!r})\ndie = lambda: os.kill(os.getpid(), signal.SIGKILL)\n{statement}"
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path):
    (tmp_path / "a.partial").write_text("kept")
    (tmp_path / ".a.txt.123.partial").write_text("somebody else's")
    _killed_while("with atomic_path(folder / 'a.txt') as path: path.write_text('x'); die()", tmp_path)
    _killed_while("with atomic_folder(folder / 'b') as path: (path / 'c').write_text('x'); die()", tmp_path)
    assert len([*tmp_path.iterdir()]) == 4
    assert not remove_leftovers(tmp_path, "b")
    assert len([*tmp_path.iterdir()]) == 3
    assert not remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.txt.123.partial", "a.partial"]


def test_what_a_living_writer_has_written_stays(tmp_path: Path):
    with atomic_path(tmp_path / "a.txt") as file, atomic_folder(tmp_path / "b") as folder:
        assert remove_leftovers(tmp_path)
        assert file.exists()
        assert folder.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b"]


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_a_folder_whose_replacement_is_killed_is_the_old_one_or_the_new_one(
    tmp_path: Path, exchanges: bool, moment: str
):
    with atomic_folder(tmp_path / "folder") as path:
        (path / "old").touch()
    statement = "" if exchanges else "files._exchange = lambda one, other: False\n"
    calls = {"before": 1, "between": 2, "after": 3}[moment]
    statement += f"""
calls = 0
def counted(function):
    def call(*arguments, **named):
        global calls
        calls += 1
        if calls == {calls}: die()
        return function(*arguments, **named)
    return call
Path.replace, files._exchange, files.shutil.rmtree = map(counted, (Path.replace, files._exchange, files.shutil.rmtree))
with atomic_folder(folder / 'folder') as path: (path / 'new').touch()
die()
"""
    _killed_while(statement, tmp_path)
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert [path.name for path in (tmp_path / "folder").iterdir()] in (["old"], ["new"])


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_modes_are_those_of_the_umask_or_of_the_old_file(tmp_path: Path, umask: int):
    before = os.umask(umask)
    try:
        write_json(tmp_path / "new.json", 1)
        with atomic_path(tmp_path / "new.safetensors") as path:
            save_file({"a": np.zeros(1)}, path)  # puts a file of mode 0600 in the place of `path`
        with atomic_folder(tmp_path / "folder"):
            pass
        (tmp_path / "old.json").touch(0o640)
        (tmp_path / "old.json").chmod(0o640)
        write_json(tmp_path / "old.json", 1)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    new = 0o666 & ~umask
    assert modes == {
        "new.json": new,
        "new.safetensors": new,
        "folder": 0o777 & ~umask,
        "old.json": 0o640,
    }


def test_a_link_stays_a_link_and_what_it_leads_to_is_replaced(tmp_path: Path):
    for name in ("real", "real/folder"):
        (tmp_path / name).mkdir()
    (tmp_path / "real/file").write_text("old")
    (tmp_path / "file").symlink_to("real/file")
    (tmp_path / "folder").symlink_to("real/folder")
    (tmp_path / "nothing yet").symlink_to("real/later")
    with atomic_path(tmp_path / "file") as path:
        path.write_text("new")
    with atomic_path(tmp_path / "nothing yet") as path:
        path.write_text("new")
    with atomic_folder(tmp_path / "folder") as path:
        (path / "new").touch()
    assert (tmp_path / "file").readlink() == Path("real/file")
    assert (tmp_path / "nothing yet").readlink() == Path("real/later")
    assert (tmp_path / "folder").readlink() == Path("real/folder")
    assert (tmp_path / "real/file").read_text() == (tmp_path / "real/later").read_text() == "new"
    assert [path.name for path in (tmp_path / "real/folder").iterdir()] == ["new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "nothing yet", "real"]


def test_a_temporary_name_that_is_taken_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "victim").write_text("kept")
    (tmp_path / f".a.txt.{'0' * 16}.partial").symlink_to("victim")
    monkeypatch.setattr("bertkit.core.files.secrets.token_hex", lambda size: "0" * 2 * size)
    with pytest.raises(InputError, match=r"a\.txt cannot be written"), atomic_path(tmp_path / "a.txt"):
        pass
    assert (tmp_path / "victim").read_text() == "kept"


def test_a_name_as_long_as_file_systems_take_is_written(tmp_path: Path):
    for name in ("a" * 255, "ä" * 127):
        write_json(tmp_path / name, 1)
    with pytest.raises(InputError, match=r"cannot be written \(File name too long\)"):
        write_json(tmp_path / ("a" * 256), 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a" * 255, "ä" * 127]


def test_an_error_about_another_file_is_not_taken_for_one_about_the_output(tmp_path: Path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out.txt"):
        (tmp_path / "in.txt").read_text()
    with pytest.raises(ResourceError, match=r"out\.txt cannot be written"), atomic_path(tmp_path / "out.txt") as path:
        path.unlink()


def test_folders_made_for_a_write_that_failed_go_again(tmp_path: Path):
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a" / "b" / "c.txt"):
        raise RuntimeError
    with pytest.raises(RuntimeError), exclusive(tmp_path / "a" / "b"):
        raise RuntimeError
    with exclusive(tmp_path / "a", shared=True), exclusive(tmp_path / "a", shared=True):
        pass
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError), exclusive(tmp_path / "kept"):
        (tmp_path / "kept" / "notes").touch()
        raise RuntimeError
    assert (tmp_path / "kept" / "notes").exists()


def test_a_place_that_a_file_takes_is_one_line(tmp_path: Path):
    (tmp_path / "taken").write_text("kept")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "run"):
        with pytest.raises(InputError, match=r"taken.*cannot be written.*choose another place"), exclusive(folder):
            pass
    for path in (tmp_path / "taken" / "a.txt", tmp_path / "taken" / "deep" / "a.txt"):
        with pytest.raises(InputError, match=r"a\.txt cannot be written"), atomic_path(path):
            pass
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("taken", "kept")]


def test_a_copied_file_that_cannot_be_read_is_named(tmp_path: Path):
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "config.json").symlink_to(tmp_path / "nowhere")
    with (
        pytest.raises(InputError, match=r"from/config\.json cannot be copied"),
        atomic_folder(tmp_path / "to") as folder,
    ):
        shutil.copytree(tmp_path / "from", folder, dirs_exist_ok=True)
    assert not (tmp_path / "to").exists()


def test_a_refusal_leaves_no_lock_in_a_folder_of_others(tmp_path: Path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError), exclusive(tmp_path):
        raise InputError("not this one")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
