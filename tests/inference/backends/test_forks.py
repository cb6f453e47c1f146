"""Forked processes and many threads, each in a process of its own: what fails here would hang."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from native_isas import needs_native

BACKENDS = [
    "torch",
    pytest.param("native", marks=needs_native),
    *(
        pytest.param(name, marks=pytest.mark.skipif(find_spec(package) is None, reason=f"needs the package {package}"))
        for name, package in (("onnx", "onnxruntime"), ("openvino", "openvino"))
    ),
]
PREAMBLE = """
import os, sys, threading
import numpy as np
import bertkit
model = bertkit.load(sys.argv[1], backend=sys.argv[2], threads=2)
texts = ["the cat sat on the mat", "a dog", "the dog ran far and the cat sat"] * 300
"""
FORKED = """
expected = None if sys.argv[3] == "loaded" else (model.embed("a cat"), model.embed(texts))
child = os.fork()
one, many = model.embed("a cat"), model.embed(texts)
if child == 0:
    sys.exit(0 if one.shape == (24,) and np.isfinite(many).all() else 5)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
if expected is not None:
    np.testing.assert_allclose(one, expected[0], atol=1e-5)
    np.testing.assert_allclose(many, expected[1], atol=1e-5)
"""
THREADS = """
expected, found = {}, {}
for number in range(6):
    expected[number] = model.embed(texts[number : number + 1 + 40 * number])
def work(number):
    for _ in range(5):
        found[number] = model.embed(texts[number : number + 1 + 40 * number])
threads = [threading.Thread(target=work, args=(number,)) for number in expected]
for thread in threads: thread.start()
for thread in threads: thread.join()
for number, vectors in expected.items():
    np.testing.assert_allclose(found[number], vectors, atol=1e-5)
"""


def _run(script: str, *arguments: object) -> None:
    command = [sys.executable, "-c", PREAMBLE + script, *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("moment", ["loaded", "used"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_forked_child_and_its_parent_both_go_on(pretrained: Path, backend: str, moment: str):
    _run(FORKED, pretrained, backend, moment)


@pytest.mark.parametrize("backend", BACKENDS)
def test_many_threads_use_one_predictor(pretrained: Path, backend: str):
    _run(THREADS, pretrained, backend)
