"""A model folder whose JSON has a wrong value anywhere is loaded, or refused in one line; nothing else happens."""

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertkit.core.errors import InputError
from bertkit.inference.load import load
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.sentence_settings import SentenceSettings
from bertkit.tasks.questions.task import SpanExtraction
from bertkit.tasks.task_folder import load_task
from bertkit.text.tokenizer import Tokenizer

WRONG = (None, True, -1, 1.5, 10**30, float("nan"), "x", [], [None], {"a": None})


def _places(value: Any) -> Iterator[tuple[Any, ...]]:
    """Ways to every entry, of a list the last one, of a vocabulary one."""
    yield ()
    entries = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    is_long = isinstance(value, list) or all(isinstance(entry, int) for _, entry in entries)
    for name, entry in entries[-1:] if is_long else entries:
        yield from ((name, *way) for way in _places(entry))


def _changed(value: Any, way: tuple[Any, ...], new: Any) -> Any:
    if not way:
        return new
    changed = copy.deepcopy(value)
    inner = changed
    for step in way[:-1]:
        inner = inner[step]
    inner[way[-1]] = new
    return changed


def _is_kept_or_refused(path: Path, use: Any) -> int:
    """Change every entry of a JSON file in every way; returns how many changes were refused."""
    content, refused = json.loads(path.read_text()), 0
    for way in _places(content):
        for wrong in WRONG:
            path.write_text(json.dumps(_changed(content, way, wrong)))
            try:
                use()
            except InputError as error:
                refused += 1
                assert "\n" not in str(error), (way, wrong)
                assert len(str(error)) < 1000, (way, wrong)
            except Exception as error:
                raise AssertionError(f"{path.name}: {way} = {wrong!r}") from error
    path.write_text(json.dumps(content))
    return refused


def _predict(folder: Path) -> None:
    prediction = load(folder).predict("the cat")
    assert np.isfinite(list(prediction.probabilities.values())).all()


def _tokens(folder: Path) -> None:
    Tokenizer.from_pretrained(folder).encode("the cat")


@pytest.mark.parametrize("name", ["config.json", "task.json", "tokenizer.json", "tokenizer_config.json"])
def test_any_wrong_value_in_a_folder_of_bertkit_is_one_line(classifier: Path, tmp_path: Path, name: str):
    folder = tmp_path / "model"
    shutil.copytree(classifier, folder)
    if name == "tokenizer_config.json":
        (folder / "tokenizer.json").unlink()
    use = (lambda: _predict(folder)) if name in ("config.json", "task.json") else lambda: _tokens(folder)
    assert _is_kept_or_refused(folder / name, use) > 20


def test_any_wrong_value_in_the_files_of_sentence_transformers_is_one_line(tmp_path: Path):
    folder = tmp_path
    for name, content in {
        "modules.json": [
            {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        ],
        "1_Pooling/config.json": {"word_embedding_dimension": 24, "pooling_mode_mean_tokens": True},
        "sentence_bert_config.json": {"max_seq_length": 16},
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    for name in ("modules.json", "1_Pooling/config.json", "sentence_bert_config.json"):
        assert _is_kept_or_refused(folder / name, lambda: SentenceSettings.find(folder)) > 5


def test_any_wrong_value_of_a_task_of_questions_is_one_line(classifier: Path, tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(classifier, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertForQuestionAnswering"]}))
    (folder / "task.json").write_text(json.dumps(SpanExtraction(max_length=16).description()))
    assert _is_kept_or_refused(folder / "task.json", lambda: load_task(ModelFolder.open(folder))) > 20


@pytest.mark.parametrize("kind", ["roberta", "modern"])
def test_any_wrong_value_of_a_tokenizer_of_bytes_is_one_line(tmp_path: Path, kind: str):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(_byte_pairs(kind)))
    assert Tokenizer.from_pretrained(path).encode("a b").input_ids is not None
    assert _is_kept_or_refused(path, lambda: Tokenizer.from_pretrained(path).encode("a b")) > 20


def _byte_pairs(kind: str) -> dict[str, Any]:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    if kind == "modern":
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {token: index for index, token in enumerate([*special, "a", "b", "Ġ", "Ġb"])}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": index, "content": token, "special": True, "lstrip": token == "<mask>", "rstrip": False,
             "single_word": False, "normalized": False}
            for index, token in enumerate(special)
        ],
        "normalizer": None if kind == "roberta" else {"type": "NFC"},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocabulary, "merges": [["Ġ", "b"]]},
    }  # fmt: skip


def test_weights_without_read_permission_are_said_to_be_there(classifier: Path, tmp_path: Path, monkeypatch):
    folder, plain = tmp_path / "model", Path.open
    shutil.copytree(classifier, folder)

    def opened(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "model.safetensors":  # as for another user; the tests may run as root, who may read all
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(InputError, match=r"model.safetensors cannot be read \(Permission denied\): check"):
        load(folder)
