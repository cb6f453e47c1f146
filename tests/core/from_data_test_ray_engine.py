import socket
import sys

import pytest
from test_prepare import contents
from tiny_corpora import make_text

from bertkit.cli.main import USER_ERROR, run
from bertkit.data.engine import EngineOptions
from bertkit.foundation.errors import InputError, ResourceError


def test_two_workers_of_a_local_ray_write_the_same_bytes(tmp_path, tokenizer):
    (tmp_path / "text.txt").write_text(make_text(400) * 60)  # two shards
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    command = ["prepare", str(tmp_path / "text.txt"), "--tokenizer", str(tmp_path / "tokenizer"), "--out"]
    drop = ["--drop-duplicates", "documents"]
    assert run([*command, str(tmp_path / "ray"), "--engine", "ray", "--workers", "2", *drop]) == 0
    assert run([*command, str(tmp_path / "one"), "--workers", "1", *drop]) == 0
    assert contents(tmp_path / "ray") == contents(tmp_path / "one")


def test_ray_that_is_not_installed_is_one_line(tmp_path, tokenizer, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "text.txt").write_text(make_text(3))
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    command = ["prepare", str(tmp_path / "text.txt"), "--tokenizer", str(tmp_path / "tokenizer"), "--engine", "ray"]
    assert run([*command, "--out", str(tmp_path / "out")]) == USER_ERROR
    assert "pip install 'bertkit[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_cluster_that_does_not_answer_is_named():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with (
            pytest.raises(ResourceError, match=f"no Ray cluster answers at {address}"),
            EngineOptions(engine="ray", ray_address=address).open(2),
        ):
            pass
    with (
        pytest.raises(InputError, match="give host:port or auto"),
        EngineOptions(engine="ray", ray_address="head:x").open(2),
    ):
        pass


def test_an_address_without_ray_is_refused():
    with pytest.raises(InputError, match="--engine ray"):
        EngineOptions(ray_address="auto")
    with pytest.raises(InputError, match="processes or ray"):
        EngineOptions(engine="spark")
