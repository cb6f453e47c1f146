"""Hugging Face's files of RoBERTa's tokenizer: `tokenizer.json`, or `vocab.json` with `merges.txt`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertkit.foundation.errors import InputError
from bertkit.foundation.files import atomic_path, read_json
from bertkit.text.byte_level import ByteLevelPairs
from bertkit.text.special_tokens import ROBERTA

VOCABULARY_FILE, MERGES_FILE = "vocab.json", "merges.txt"
_MERGES_VERSION = "#version: 0.2"


def read_byte_level_files(folder: Path) -> ByteLevelPairs:
    """Read `vocab.json` and `merges.txt`."""
    if not (folder / MERGES_FILE).is_file():
        raise InputError(f"{folder} has {VOCABULARY_FILE} but no {MERGES_FILE}: copy both")
    entries = read_json(folder / VOCABULARY_FILE)
    lines = (folder / MERGES_FILE).read_text(encoding="utf-8").split("\n")
    merges = [line for line in lines if line.strip() and not line.startswith("#version")]
    config = folder / "tokenizer_config.json"
    prefix = read_json(config).get("add_prefix_space", False) if config.is_file() else False
    return _checked(folder / VOCABULARY_FILE, entries, merges, add_prefix_space=bool(prefix))


def read_byte_level_json(path: Path, content: Mapping[str, Any]) -> ByteLevelPairs:
    """Read the content of a `tokenizer.json` of pairs of bytes; anything but RoBERTa's is refused."""
    splitter = content.get("pre_tokenizer") or {}
    for what, found, wanted in (
        ("normalizer", content.get("normalizer"), None),
        ("regular expression", splitter.get("use_regex", True), True),
        ("dropout", content["model"].get("dropout"), None),
        ("continuation prefix", content["model"].get("continuing_subword_prefix") or "", ""),
        ("end of a word", content["model"].get("end_of_word_suffix") or "", ""),
    ):
        if found != wanted:
            raise InputError(f"{path} has {what} {found!r}, not RoBERTa's {wanted!r}: give RoBERTa's tokenizer")
    added = {token["content"]: token for token in content.get("added_tokens", [])}
    extra = tuple(token for token in sorted(added, key=lambda name: added[name]["id"]) if token not in ROBERTA.all)
    return _checked(
        path,
        content["model"]["vocab"] | {name: token["id"] for name, token in added.items()},
        content["model"]["merges"],
        add_prefix_space=splitter.get("add_prefix_space", False),
        added_tokens=ROBERTA.all + extra,
        mask_takes_space=added.get(ROBERTA.mask, {}).get("lstrip", True),
    )


def write_byte_level(pairs: ByteLevelPairs, folder: Path) -> dict[str, Any]:
    """Write what decides the ids; return the rest of `tokenizer_config.json`."""
    library = pairs.library_tokenizer(pairs.added_tokens)
    entries = {token: index for index, token in enumerate(pairs.vocabulary)}
    merges = "".join(f"{first} {second}\n" for first, second in pairs.merges)
    for name, text in {
        "tokenizer.json": library.to_str(pretty=True) + "\n",
        VOCABULARY_FILE: json.dumps(entries, ensure_ascii=False) + "\n",
        MERGES_FILE: f"{_MERGES_VERSION}\n{merges}",
    }.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    names = {"bos": ROBERTA.cls, "eos": ROBERTA.sep, "cls": ROBERTA.cls, "sep": ROBERTA.sep}
    names |= {"unk": ROBERTA.unk, "pad": ROBERTA.pad}
    mask = {"content": ROBERTA.mask, "lstrip": pairs.mask_takes_space, "normalized": False, "rstrip": False}
    return {
        "tokenizer_class": "RobertaTokenizer",
        "add_prefix_space": pairs.add_prefix_space,
        "trim_offsets": True,
        **{f"{name}_token": token for name, token in names.items()},
        "mask_token": {"__type": "AddedToken", **mask, "single_word": False, "special": True},
    }


def _checked(path: Path, entries: Any, merges: list[str] | list[list[str]], **options: Any) -> ByteLevelPairs:
    if not isinstance(entries, dict) or sorted(entries.values()) != list(range(len(entries))):
        raise InputError(f"{path} has gaps or repeats in its ids: they must run from 0 to the vocabulary's size - 1")
    pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in merges]
    if strange := next((pair for pair in pairs if len(pair) != 2), None):
        raise InputError(f"{path}: the merge {' '.join(strange)!r} is not of two entries: copy the file again")
    try:
        return ByteLevelPairs(
            vocabulary=tuple(sorted(entries, key=entries.__getitem__)),
            merges=tuple((first, second) for first, second in pairs),
            **options,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
