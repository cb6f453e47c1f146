import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertkit.core.errors import InputError
from bertkit.data.corpus.manifest import Manifest
from bertkit.data.corpus.options import PrepareOptions
from bertkit.data.corpus.prepare import prepare
from bertkit.data.instances.fixed import open_prepared
from bertkit.data.instances.google_files import prepare_static
from bertkit.text.tokenizer import Tokenizer
from tiny_corpora import lay_out, make_text

Change = Callable[[dict[str, Any]], object]


def _change(folder: Path, change: Change) -> None:
    path = folder / "manifest.json"
    value = json.loads(path.read_text())
    del value["checksum"]
    change(value)
    path.write_text(json.dumps(value))


def test_what_was_written_is_read_back(tmp_path: Path):
    corpus = lay_out(tmp_path, [[3, 2], [4]])
    assert Manifest.read(tmp_path) == corpus.manifest


@pytest.mark.parametrize("content", ["[]", "null", '"text"', '{"format": 1}'])
def test_a_manifest_of_something_else_is_refused(tmp_path: Path, content: str):
    lay_out(tmp_path, [[3, 2], [4]])
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputError, match=r"manifest\.json was changed .* remove it and run"):
        open_prepared(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value.pop("vocab_size"), "vocab_size is missing"),
        (lambda value: value.update(shards={}), "shards is an object, not a list"),
        (lambda value: value["shards"][0].pop("files"), r"shards\[0\]\.files is missing"),
        (lambda value: value["shards"][0].update(files={}), r"shard-00000 lacks the file shard-00000\.documents\.npy"),
        (lambda value: value["shards"][0].update(documents=3), "shard-00000 has 2 documents, not 3"),
        (lambda value: value["shards"][0].update(sentences=2), "shard-00000 has 3 sentences, not 2"),
        (lambda value: value["shards"][0].update(tokens=8), "shard-00000 has 9 tokens, not 8"),
        (lambda value: value.update(duplicates={"documents": 1}), "duplicates.near_documents is missing"),
    ],
)
def test_a_changed_entry_is_named(tmp_path: Path, change: Change, message: str):
    lay_out(tmp_path, [[3, 2], [4]])
    _change(tmp_path, change)
    with pytest.raises(InputError, match=message):
        open_prepared(tmp_path)


def test_the_remedy_mends_the_folder(tmp_path: Path, tokenizer: Tokenizer):
    (tmp_path / "text.txt").write_text(make_text(8))
    manifest = prepare([tmp_path / "text.txt"], tokenizer, tmp_path / "out")
    _change(tmp_path / "out", lambda value: value["shards"][0].update(documents=9))
    with pytest.raises(InputError, match=r"manifest\.json was changed"):
        open_prepared(tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()
    assert prepare([tmp_path / "text.txt"], tokenizer, tmp_path / "out") == manifest
    open_prepared(tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value.pop("static"), "static is missing"),
        (lambda value: value["static"].update(dupe_factor=0), "dupe_factor must be at least 1"),
        (lambda value: value.update(files={}), r"it lacks the file instances\.input_ids\.npy"),
        (lambda value: value.update(instances=1), "instances, not 1"),
        (lambda value: value.update(predictions=1), "predictions, not 1"),
    ],
)
def test_a_changed_entry_of_fixed_instances_is_named(
    tmp_path: Path, tokenizer: Tokenizer, change: Change, message: str
):
    (tmp_path / "text.txt").write_text(make_text(8))
    prepare_static([tmp_path / "text.txt"], tokenizer, tmp_path / "out", PrepareOptions())
    open_prepared(tmp_path / "out")
    _change(tmp_path / "out", change)
    with pytest.raises(InputError, match=message):
        open_prepared(tmp_path / "out")
