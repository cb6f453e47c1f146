import os
import subprocess
import time
from pathlib import Path

import pytest

from bertkit.core import checksums
from bertkit.core.checksums import SUMS_FILE, check_sums, read_sums, write_sums
from bertkit.core.errors import InputError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(checksums, "_SMALL", 0)
    monkeypatch.setattr(checksums, "_RECENT", -1)
    made = tmp_path / "model"
    made.mkdir()
    for name in ("model.safetensors", "vocab.txt", "config.json", "my-notes.md"):
        (made / name).write_text(name)
    write_sums(made)
    return made


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)


def test_a_folder_has_sums_of_what_a_model_needs_which_sha256sum_reads(folder: Path):
    assert sorted(read_sums(folder)) == ["config.json", "model.safetensors", "vocab.txt"]
    assert check_sums(folder) == 3
    program = subprocess.run(["sha256sum", "-c", SUMS_FILE], cwd=folder, check=False, capture_output=True, text=True)
    assert program.returncode == 0, program.stderr


@pytest.mark.parametrize("verify", ["auto", "always"])
def test_a_flipped_bit_is_found_also_after_the_file_was_compared(folder: Path, verify):
    assert check_sums(folder, verify=verify) == 3
    time.sleep(0.05)  # file systems count in steps of some milliseconds
    _flip(folder / "model.safetensors")
    with pytest.raises(InputError, match=r"model.safetensors is not what was written .* or remove SHA256SUMS"):
        check_sums(folder, verify=verify)
    assert check_sums(folder, verify="never") == 0


def test_a_file_that_was_compared_is_not_read_again_unless_always(folder: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[str] = []
    monkeypatch.setattr(checksums, "sha256", lambda path: read.append(path.name) or read_sums(folder)[path.name])
    check_sums(folder, ["model.safetensors"])
    check_sums(folder, ["model.safetensors"])
    assert read == ["model.safetensors"]
    check_sums(folder, ["model.safetensors"], verify="always")
    os.utime(folder / "model.safetensors", ns=(1, 1))
    check_sums(folder, ["model.safetensors"])
    assert len(read) == 3


def test_what_was_just_written_or_is_small_is_not_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr(checksums, "_RECENT", 10**12)
    check_sums(folder)
    monkeypatch.setattr(checksums, "_RECENT", -1)
    monkeypatch.setattr(checksums, "_SMALL", 1 << 22)
    check_sums(folder)
    assert not (tmp_path / "cache").exists()


def test_a_damaged_memory_and_a_cache_that_cannot_be_written_cost_only_time(folder: Path, tmp_path: Path):
    check_sums(folder)
    for remembered in (tmp_path / "cache").rglob("*.json"):
        remembered.write_text('{"seen": 3}')
    assert check_sums(folder) == 3
    for remembered in (tmp_path / "cache").rglob("*.json"):
        remembered.unlink()
        remembered.mkdir()
    assert check_sums(folder) == 3


def test_the_sums_of_some_files_are_renewed_where_there_are_sums(folder: Path):
    (folder / "vocab.txt").write_text("other")
    (folder / "config.json").unlink()
    write_sums(folder, ["vocab.txt"])
    assert sorted(read_sums(folder)) == ["model.safetensors", "vocab.txt"]
    assert check_sums(folder) == 2
    (folder / SUMS_FILE).unlink()
    write_sums(folder, ["vocab.txt"])
    assert check_sums(folder) == 0 and not (folder / SUMS_FILE).exists()


@pytest.mark.parametrize("content", ["", "\n", "abc  vocab.txt\n", "0" * 64 + "\n", "0" * 64 + "  \n"])
def test_sums_of_another_form_are_one_line(folder: Path, content: str):
    (folder / SUMS_FILE).write_text(content)
    if not content:
        assert check_sums(folder) == 0
        return
    with pytest.raises(InputError, match=r"SHA256SUMS, line 1 is not a SHA-256 and a name: copy"):
        check_sums(folder)


def test_an_unknown_way_to_verify_is_refused(folder: Path):
    with pytest.raises(InputError, match="verify 'sometimes' is unknown: use one of auto, always, never"):
        check_sums(folder, verify="sometimes")  # type: ignore[arg-type]
