"""How a folder wants its texts turned into vectors: the files of sentence-transformers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, get_args

from msgspec import Meta

from bertkit.core.files import read_json, write_json
from bertkit.core.records import in_file, read_foreign

Pooling = Literal["mean", "cls", "pooler"]
"""Mean of all tokens with the special ones, hidden state of [CLS], or the pooler's output."""

_MODULES_FILE = "modules.json"
_TYPES = "sentence_transformers.models"
_POOLING_PREFIX = "pooling_mode_"
_POOLING_NAMES = {"mean_tokens": "mean", "cls_token": "cls"}
_POOLING_MODES = {name: mode for mode, name in _POOLING_NAMES.items()}


_REMEDY = "correct it or copy the folder again"


class _Module(TypedDict):
    """An entry of `modules.json`."""

    type: str
    path: str


class _Limit(TypedDict, total=False):
    """Of `sentence_bert_config.json`."""

    max_seq_length: Annotated[int, Meta(ge=3, le=1 << 24)] | None


@dataclass(frozen=True, kw_only=True)
class SentenceSettings:
    """What follows the encoder; a folder that says nothing means the mean of the last layer."""

    pooling: Pooling = "mean"
    normalize: bool = False
    max_length: int | None = None
    """Tokens of the longest text, special ones counted."""
    unsupported: str | None = None
    """A part of the folder's chain that bertkit does not compute."""

    @classmethod
    def find(cls, folder: Path) -> SentenceSettings | None:
        """Read `modules.json` and what it points to, None where there is none."""
        if not (folder / _MODULES_FILE).is_file():
            return None
        pooling: Pooling = "mean"
        normalize, max_length, unsupported = False, None, None
        for module in read_foreign(folder / _MODULES_FILE, list[_Module], _REMEDY):
            kind, place = module["type"].rpartition(".")[2], folder / module["path"]
            if kind == "Transformer":
                path = place / "sentence_bert_config.json"
                max_length = read_foreign(path, _Limit, _REMEDY).get("max_seq_length") if path.is_file() else None
            elif kind == "Pooling":
                path = place / "config.json"
                name = _pooling_name(in_file(path, dict[str, Any], read_json(path), _REMEDY))
                if name in get_args(Pooling):
                    pooling = name  # type: ignore[assignment]
                else:
                    unsupported = f"{name} pooling"
            elif kind == "Normalize":
                normalize = True
            else:
                unsupported = f"a module {kind}"
        return cls(pooling=pooling, normalize=normalize, max_length=max_length, unsupported=unsupported)

    def write(self, folder: Path, hidden_size: int) -> None:
        """Write `modules.json` and what it points to, as every sentence-transformers from 2.0 on reads it."""
        assert self.pooling in _POOLING_MODES, "sentence-transformers has no pooling by BERT's pooler"
        kinds = ["Transformer", "Pooling", *(["Normalize"] if self.normalize else [])]
        paths = ["", *(f"{index}_{kind}" for index, kind in enumerate(kinds) if index)]
        modules = [
            {"idx": index, "name": str(index), "path": path, "type": f"{_TYPES}.{kind}"}
            for index, (kind, path) in enumerate(zip(kinds, paths, strict=True))
        ]
        for path in paths:
            (folder / path).mkdir(parents=True, exist_ok=True)
        modes = {_POOLING_PREFIX + _POOLING_MODES[name]: name == self.pooling for name in _POOLING_MODES}
        write_json(folder / paths[1] / "config.json", {"word_embedding_dimension": hidden_size, **modes})
        if self.max_length is not None:
            write_json(
                folder / "sentence_bert_config.json", {"max_seq_length": self.max_length, "do_lower_case": False}
            )
        write_json(folder / _MODULES_FILE, modules)


def _pooling_name(description: dict[str, Any]) -> str:
    """Older files have a truth value for each kind, newer ones a name."""
    if "pooling_mode" in description:
        return str(description["pooling_mode"])
    chosen = [
        name.removeprefix(_POOLING_PREFIX)
        for name, value in description.items()
        if name.startswith(_POOLING_PREFIX) and value is True
    ]
    return " and ".join(_POOLING_NAMES.get(name, name) for name in chosen)
