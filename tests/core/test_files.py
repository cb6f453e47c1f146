import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

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


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path):
    (tmp_path / ".a.txt.123.partial").write_text("x")
    (tmp_path / ".folder.partial").mkdir()
    (tmp_path / ".folder.partial" / "b.txt").write_text("x")
    (tmp_path / ".folder.retired").mkdir()
    (tmp_path / "a.partial").write_text("kept")
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.partial"]


def test_a_place_that_a_file_takes_is_one_line(tmp_path: Path):
    (tmp_path / "taken").write_text("kept")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "run"):
        with pytest.raises(InputError, match=r"taken.*cannot be written.*choose another place"), exclusive(folder):
            pass
    for path in (tmp_path / "taken" / "a.txt", tmp_path / "taken" / "deep" / "a.txt"):
        with pytest.raises(InputError, match=r"a\.txt cannot be written"), atomic_path(path):
            pass
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("taken", "kept")]
