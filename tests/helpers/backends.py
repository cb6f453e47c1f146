"""The backends as parameters of tests; one that is not installed, or not compiled, is skipped and says why."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from native_isas import needs_native

WITHOUT_TORCH = [
    pytest.param("native", marks=needs_native),
    *(
        pytest.param(name, marks=pytest.mark.skipif(find_spec(package) is None, reason=f"needs the package {package}"))
        for name, package in (("onnx", "onnxruntime"), ("openvino", "openvino"))
    ),
]
BACKENDS = ["torch", *WITHOUT_TORCH]
