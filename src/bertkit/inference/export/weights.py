"""The weights of a model folder under our names, read one at a time as arrays."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.core.errors import InputError
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.formats.table import FORMATS
from bertkit.pretrained.weights import read_tensors


class FolderWeights:
    """Looked up by our names, in which query, key and value are one matrix."""

    def __init__(self, folder: ModelFolder) -> None:
        self._folder = folder
        self._names = FORMATS[folder.config.model_type].names_for(folder.architecture)

    @cached_property
    def _stored(self) -> Any:
        return read_tensors(self._folder.weights)

    @cached_property
    def _found(self) -> dict[str, str]:
        """The stored name of every name that the format gives."""
        return {self._names._standard(name): name for name in self._stored}

    def __contains__(self, name: str) -> bool:
        return all(part in self._found for part in self._names.foreign(name))

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor that is there; raises `InputError` for one that is not."""
        shapes = [tuple(self._stored[each].shape) for each in self._stored_names(name)]
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def read(self, name: str) -> NDArray[np.float32]:
        """The tensor in float32; raises `InputError` where it is not there."""
        parts = [self._stored[each].float().numpy() for each in self._stored_names(name)]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def _stored_names(self, name: str) -> list[str]:
        foreign = self._names.foreign(name)
        for each in foreign:
            if each not in self._found:
                raise InputError(
                    f"{self._folder.weights} lacks the tensor {each}: it is not a whole "
                    f"{self._folder.description.class_name}"
                )
        return [self._found[each] for each in foreign]
