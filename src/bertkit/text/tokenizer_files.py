"""Hugging Face's tokenizer files, read and written: WordPiece, RoBERTa's byte pairs, ModernBERT's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from bertkit.core.checksums import TOKENIZER_FILES, write_sums
from bertkit.core.errors import InputError
from bertkit.core.files import atomic_path, read_json, unreadable, write_json
from bertkit.core.records import Count, in_file, read_foreign
from bertkit.text.byte_pairs import ByteLevelPairs, StoredBytePairs
from bertkit.text.wordpiece import BERT, CONTINUATION, ROBERTA, SPECIAL_TOKENS, Reference, WordPiece, WordPieceRules

MODEL_MAX_LENGTH = 512
"""Of a tokenizer without a model beside it."""
WORDPIECE_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")
_REMEDY = "copy the tokenizer again"
_VOCABULARY_FILE, _MERGES_FILE = "vocab.json", "merges.txt"
_MERGES_VERSION = "#version: 0.2"

Subwords = WordPiece | ByteLevelPairs | StoredBytePairs


def read_subwords(path: Path, lowercase: bool | None = None, follow: Reference | None = None) -> Subwords:
    """Read a folder (`tokenizer.json` first, else `vocab.txt` or RoBERTa's files) or one such file.

    `lowercase` and `follow` of WordPieces come from the files where None.
    """
    subwords = _read(path)
    if not isinstance(subwords, WordPiece):
        return subwords
    asked = {"lowercase": lowercase, "follow": follow}
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    return replace(subwords, rules=replace(subwords.rules, **changes))


def _read(path: Path) -> Subwords:
    if path.is_dir():
        if (path / "tokenizer.json").is_file():
            return _read_tokenizer_json(path / "tokenizer.json")
        if (path / "vocab.txt").is_file():
            config = path / "tokenizer_config.json"
            return _read_vocab_txt(path / "vocab.txt", _read_config(config) if config.is_file() else {})
        if (path / _VOCABULARY_FILE).is_file():
            return _read_byte_level_files(path)
        raise InputError(f"{path} has neither tokenizer.json nor vocab.txt: give a tokenizer or model folder")
    if not path.is_file():
        raise InputError(f"{path} does not exist: give a tokenizer folder, a vocab.txt or a tokenizer.json")
    if path.suffix == ".json":
        return _read_tokenizer_json(path)
    return _read_vocab_txt(path, {})


def write_subwords(subwords: Subwords, folder: Path, *, max_length: int, token_types: bool) -> None:
    """Write the files so that Hugging Face's `AutoTokenizer` gives the same ids, and what the model takes with them."""
    if isinstance(subwords, WordPiece):
        config = _write_wordpiece(subwords, folder)
    elif isinstance(subwords, ByteLevelPairs):
        config = _write_byte_level(subwords, folder)
    else:
        config = _write_stored_pairs(subwords, folder)
    config["model_max_length"] = max_length
    if not token_types:
        config["model_input_names"] = ["input_ids", "attention_mask"]
    write_json(folder / "tokenizer_config.json", config)
    write_sums(folder, TOKENIZER_FILES)


def _write_wordpiece(wordpiece: WordPiece, folder: Path) -> dict[str, Any]:
    """Write what decides the ids; return the rest of `tokenizer_config.json`."""
    library = wordpiece.library_tokenizer(wordpiece.added_tokens)
    for name, text in {
        "vocab.txt": "".join(f"{token}\n" for token in wordpiece.vocabulary),
        "tokenizer.json": library.to_str(pretty=True) + "\n",
    }.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    rules = wordpiece.rules
    config: dict[str, Any] = {
        # BertTokenizer cleans as the lines below say; the other class takes tokenizer.json as it is.
        "tokenizer_class": "BertTokenizer" if rules.follow == "huggingface" else "PreTrainedTokenizerFast",
        "follow": rules.follow,
        "do_lower_case": rules.lowercase,
        "strip_accents": rules.strip_accents,
        "tokenize_chinese_chars": rules.handle_chinese_chars,
        "clean_text": rules.clean_text,
    }
    return config | {f"{token.strip('[]').lower()}_token": token for token in SPECIAL_TOKENS}


class _Config(TypedDict, total=False):
    """What a `tokenizer_config.json` says of cleaning."""

    do_lower_case: bool | None
    strip_accents: bool | None
    clean_text: bool
    tokenize_chinese_chars: bool
    follow: Reference
    add_prefix_space: bool | None


def _read_config(path: Path) -> _Config:
    return read_foreign(path, _Config, "correct it or copy it again")


class _AddedToken(TypedDict):
    content: str
    id: Count
    special: NotRequired[bool]
    lstrip: NotRequired[bool]


class _Normalizer(TypedDict, total=False):
    type: str
    lowercase: bool
    strip_accents: bool | None
    clean_text: bool
    handle_chinese_chars: bool


class _Splitter(TypedDict, total=False):
    type: str
    use_regex: bool
    add_prefix_space: bool


class _Model(TypedDict):
    """Of WordPiece and byte pairs; other models have vocabularies of other forms, and are refused by name."""

    vocab: Any
    type: NotRequired[str]
    merges: NotRequired[list[str | list[str]]]


class _TokenizerJson(TypedDict):
    model: _Model
    normalizer: NotRequired[_Normalizer | None]
    pre_tokenizer: NotRequired[_Splitter | None]
    added_tokens: NotRequired[list[_AddedToken]]


def _text_lines(path: Path) -> list[str]:
    try:
        # Not splitlines(): an entry may be a character that Python counts as a line end.
        return path.read_bytes().decode("utf-8").replace("\r\n", "\n").split("\n")
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}): give a vocabulary with one entry a line") from None


def _read_vocab_txt(path: Path, config: _Config) -> WordPiece:
    lines = _text_lines(path)
    vocabulary = tuple(lines[:-1] if lines[-1] == "" else lines)
    lowercase = config.get("do_lower_case")
    if lowercase is None:
        lowercase = not any(t != t.lower() for t in vocabulary if not (t.startswith("[") and t.endswith("]")))
    rules = WordPieceRules(
        lowercase=lowercase,
        strip_accents=config.get("strip_accents"),
        clean_text=config.get("clean_text", True),
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
        follow=config.get("follow", "huggingface"),
    )
    return _wordpiece(path, vocabulary, rules, SPECIAL_TOKENS)


def _read_tokenizer_json(path: Path) -> Subwords:
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict) or "vocab" not in content["model"]:
        raise InputError(f"{path} is not a tokenizer.json: it has no model with a vocab")
    in_file(path, _TokenizerJson, content, _REMEDY, known_only=False)
    model, normalizer, splitter = (content.get(part) or {} for part in ("model", "normalizer", "pre_tokenizer"))
    if (model.get("type"), splitter.get("type")) == ("BPE", "ByteLevel"):
        if any(token["content"] == BERT.cls for token in content.get("added_tokens", [])):
            return _read_stored_pairs(path, content)
        return _read_byte_level_json(path, content)
    rules = _google_rules(normalizer, splitter) or _huggingface_rules(path, normalizer, splitter)
    # Files of early versions name no type: WordPiece is the one with a continuation prefix and a word length.
    kind = model.get("type") or ("WordPiece" if "max_input_chars_per_word" in model else "unknown")
    for what, found, wanted in (
        ("model", kind, "WordPiece"),
        ("continuation prefix", model.get("continuing_subword_prefix"), CONTINUATION),
        ("unknown token", model.get("unk_token"), "[UNK]"),
        ("longest word", model.get("max_input_chars_per_word"), rules.max_chars_per_word),
    ):
        if found != wanted:
            raise InputError(f"{path} has {what} {found}, not BERT's {wanted}: give a BERT tokenizer")
    entries = _ids(path, model["vocab"])
    added = {token["content"]: token["id"] for token in content.get("added_tokens", [])}
    by_id = {index: token for token, index in (entries | added).items()}
    if sorted(by_id) != list(range(len(entries | added))):
        raise InputError(f"{path} has gaps or repeats in its ids: they must run from 0 to the vocabulary's size - 1")
    extra = tuple(token for token in sorted(added, key=added.__getitem__) if token not in SPECIAL_TOKENS)
    return _wordpiece(path, tuple(by_id[i] for i in range(len(by_id))), rules, SPECIAL_TOKENS + extra)


def _huggingface_rules(path: Path, normalizer: dict[str, Any], splitter: dict[str, Any]) -> WordPieceRules:
    for what, found, wanted in (
        ("normalizer", normalizer.get("type"), "BertNormalizer"),
        ("pre_tokenizer", splitter.get("type"), "BertPreTokenizer"),
    ):
        if found != wanted:
            raise InputError(f"{path} has {what} {found}, not BERT's {wanted}: give a BERT tokenizer")
    return WordPieceRules(
        lowercase=normalizer.get("lowercase", True),
        strip_accents=normalizer.get("strip_accents"),
        clean_text=normalizer.get("clean_text", True),
        handle_chinese_chars=normalizer.get("handle_chinese_chars", True),
    )


def _google_rules(normalizer: dict[str, Any], splitter: dict[str, Any]) -> WordPieceRules | None:
    """The rules with which bertkit writes these parts of a file, None if they do not follow Google's tokenizer."""
    yes_or_no = (True, False)
    for lowercase, clean_text, chinese, strip_accents in product(yes_or_no, yes_or_no, yes_or_no, (None, *yes_or_no)):
        rules = WordPieceRules(
            lowercase=lowercase,
            strip_accents=strip_accents,
            clean_text=clean_text,
            handle_chinese_chars=chinese,
            follow="google",
        )
        if [json.loads(part.__getstate__()) for part in (rules.normalizer(), rules.splitter())] == [
            normalizer,
            splitter,
        ]:
            return rules
    return None


def _wordpiece(
    path: Path, vocabulary: tuple[str, ...], rules: WordPieceRules, added_tokens: tuple[str, ...]
) -> WordPiece:
    try:
        return WordPiece(vocabulary=vocabulary, rules=rules, added_tokens=added_tokens)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _read_byte_level_files(folder: Path) -> ByteLevelPairs:
    """Read `vocab.json` and `merges.txt`."""
    if not (folder / _MERGES_FILE).is_file():
        raise InputError(f"{folder} has {_VOCABULARY_FILE} but no {_MERGES_FILE}: copy both")
    entries = read_json(folder / _VOCABULARY_FILE)
    lines = _text_lines(folder / _MERGES_FILE)
    merges = [line for line in lines if line.strip() and not line.startswith("#version")]
    config = folder / "tokenizer_config.json"
    prefix = _read_config(config).get("add_prefix_space", False) if config.is_file() else False
    return _byte_level(folder / _VOCABULARY_FILE, entries, merges, add_prefix_space=bool(prefix))


def _read_byte_level_json(path: Path, content: Mapping[str, Any]) -> ByteLevelPairs:
    """Read the content of a `tokenizer.json` of byte pairs; any other than RoBERTa's is refused."""
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
    return _byte_level(
        path,
        _ids(path, content["model"]["vocab"]) | {name: token["id"] for name, token in added.items()},
        content["model"].get("merges", []),
        add_prefix_space=splitter.get("add_prefix_space", False),
        added_tokens=ROBERTA.all + extra,
        mask_takes_space=added.get(ROBERTA.mask, {}).get("lstrip", True),
    )


def _write_byte_level(pairs: ByteLevelPairs, folder: Path) -> dict[str, Any]:
    """Write what decides the ids; return the rest of `tokenizer_config.json`."""
    library = pairs.library_tokenizer(pairs.added_tokens)
    entries = {token: index for index, token in enumerate(pairs.vocabulary)}
    merges = "".join(f"{first} {second}\n" for first, second in pairs.merges)
    for name, text in {
        "tokenizer.json": library.to_str(pretty=True) + "\n",
        _VOCABULARY_FILE: json.dumps(entries, ensure_ascii=False) + "\n",
        _MERGES_FILE: f"{_MERGES_VERSION}\n{merges}",
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


def _byte_level(path: Path, entries: Any, merges: list[str] | list[list[str]], **options: Any) -> ByteLevelPairs:
    entries = _ids(path, entries)
    if sorted(entries.values()) != list(range(len(entries))):
        raise InputError(f"{path} has gaps or repeats in its ids: they must run from 0 to the vocabulary's size - 1")
    in_file(path, list[str | list[str]], merges, _REMEDY)
    pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in merges]
    strange = next((pair for pair in pairs if len(pair) != 2), None)
    if strange is not None:
        raise InputError(f"{path}: the merge {' '.join(strange)!r} is not of two entries: copy the file again")
    try:
        return ByteLevelPairs(
            vocabulary=tuple(sorted(entries, key=entries.__getitem__)),
            merges=tuple((first, second) for first, second in pairs),
            **options,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _ids(path: Path, entries: Any) -> dict[str, int]:
    """A vocabulary of a file: ids by entry."""
    return in_file(f"{path}: the vocabulary", dict[str, Count], entries, _REMEDY)


def _read_stored_pairs(path: Path, content: dict[str, Any]) -> StoredBytePairs:
    _ids(path, content["model"]["vocab"])
    try:
        return StoredBytePairs(content=content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _write_stored_pairs(pairs: StoredBytePairs, folder: Path) -> dict[str, Any]:
    """Write what decides the ids; return the rest of `tokenizer_config.json`."""
    with atomic_path(folder / "tokenizer.json") as temporary:
        temporary.write_text(json.dumps(pairs.content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    names = {"pad": BERT.pad, "unk": BERT.unk, "cls": BERT.cls, "sep": BERT.sep, "mask": BERT.mask}
    return {"tokenizer_class": "PreTrainedTokenizerFast"} | {f"{name}_token": each for name, each in names.items()}
