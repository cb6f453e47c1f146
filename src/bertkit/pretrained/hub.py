"""A model's folder by path or hub name; `ModelFolder.open` is what other rooms use."""

from __future__ import annotations

import re
from pathlib import Path

from bertkit.core.errors import InputError, ResourceError

_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_FILES = ["*.json", "*.txt"]
_WEIGHTS = (["model*.safetensors"], ["pytorch_model*.bin"])
"""In order of preference: the second is fetched where there is none of the first."""
_MISTAKES = ("RepositoryNotFoundError", "GatedRepoError", "RevisionNotFoundError")
"""The library's errors where the hub answered, and has no such model for this user."""


def find_folder(name: str | Path) -> Path:
    """The folder `name`, or the hub's model of that name; what is neither raises `InputError`.

    A hub that does not answer raises `ResourceError`.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    parents = path.parts[:-1]
    if path.exists() or not _HUB_NAME.fullmatch(str(name)) or (parents and Path(*parents).is_dir()):
        raise InputError(f"{name} is not a model folder: give a folder with config.json and model.safetensors")
    try:
        import huggingface_hub  # noqa: PLC0415  # half a second that folders do not need

        for weights in _WEIGHTS:
            folder = Path(huggingface_hub.snapshot_download(str(name), allow_patterns=[*_FILES, *weights]))
            if any(any(folder.glob(pattern)) for pattern in weights):
                break
        return folder
    except Exception as error:  # the library raises many types, for a typing error as for a missing network
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        mistake = isinstance(error, ValueError) or type(error).__name__ in _MISTAKES
        raise (InputError if mistake else ResourceError)(
            f"{name} is neither a folder nor a model that could be fetched from the hub ({reason}): check the path, "
            "the name and the network"
        ) from error
