"""Layers whose element-wise work is fused."""

from __future__ import annotations

import importlib.util
import os
import shutil

import torch

from bertkit.foundation.errors import InputError
from bertkit.model.bert import BertModel

_COMPILERS = ("c++", "g++", "clang++")


def compile_layers(bert: BertModel, device: torch.device) -> None:
    """Compile what every layer does to each token alone, once for all numbers of tokens; attention stays as it is.

    Raises `InputError` where something that compiles for `device` is missing.
    """
    if not any(map(shutil.which, (os.environ.get("CXX", ""), *_COMPILERS))):
        raise InputError("--compile needs a C++ compiler, and there is no g++ or clang++: install one or leave it out")
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise InputError("--compile needs Triton on a GPU: pip install triton, or leave it out")
    for layer in bert.layers:
        layer.transform = torch.compile(layer.transform, dynamic=True)  # type: ignore[assignment, arg-type]
