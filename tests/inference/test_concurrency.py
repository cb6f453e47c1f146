"""One `Predictor` in several threads, in forked children, and with other numbers of threads, on every backend."""

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backends import BACKENDS
from bertkit.inference.engine import Engine
from bertkit.inference.load import load
from bertkit.inference.predictor import Predictor

WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "far")
TEXTS = [" ".join(WORDS[(number * step) % 10] for step in range(1 + number % 17)) for number in range(40)]
_THREADS = 6


def _load(path: Path, backend: str, threads: int = 2) -> Predictor:
    """In batches of a few texts, so that some run side by side."""
    model = load(path, backend=backend, threads=threads, device="cpu").model
    return Predictor(replace(model, engine=Engine(model.engine.backend, max_tokens=64)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_many_threads_use_one_predictor_at_once_and_each_gets_its_own_results(pretrained: Path, backend: str):
    predictor = _load(pretrained, backend)
    expected = predictor.embed(TEXTS)
    masked = "the [MASK] sat on a mat"
    filled = predictor.fill_mask(masked)[0][0]
    failures: list[object] = []
    together = threading.Barrier(_THREADS)

    def use(number: int) -> None:
        try:
            together.wait()
            for turn in range(6):
                place = (7 * number + 3 * turn) % len(TEXTS)
                np.testing.assert_allclose(predictor.embed(TEXTS[place]), expected[place], atol=1e-5)
                some = TEXTS[place:] + TEXTS[:place]
                np.testing.assert_allclose(predictor.embed(some), np.roll(expected, -place, 0), atol=1e-5)
                token, chance = predictor.fill_mask(masked)[0][0]
                assert token == filled[0]
                assert chance == pytest.approx(filled[1], abs=1e-5)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_number_of_threads_changes_vectors_by_rounding_alone(pretrained: Path, backend: str):
    one, two, three = (_load(pretrained, backend, threads).embed(TEXTS) for threads in (1, 2, 3))
    np.testing.assert_allclose(two, one, atol=1e-5)
    np.testing.assert_allclose(three, one, atol=1e-5)


_FORKS = """
import json, os, select, signal, sys
from dataclasses import replace
from bertkit.core.errors import BertkitError
from bertkit.inference.engine import Engine
from bertkit.inference.load import load
from bertkit.inference.predictor import Predictor

path, backend, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
model = load(path, backend=backend, threads=2, device="cpu").model
predictor = Predictor(replace(model, engine=Engine(model.engine.backend, max_tokens=64)))

def vectors():
    return [predictor.embed(texts[0]).tolist(), *predictor.embed(texts).tolist()]

def in_child():
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            answer = vectors()
        except BertkitError as error:
            answer = str(error)
        with os.fdopen(writer, "w") as file:
            json.dump(answer, file)
        sys.exit(0)  # the runtimes' own threads have to end, too
    os.close(writer)
    if not select.select([reader], [], [], 120)[0]:
        os.kill(child, signal.SIGKILL)
        sys.exit("the child hangs")
    with os.fdopen(reader) as file:
        answer = json.load(file)
    signal.alarm(120)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    signal.alarm(0)
    return answer

unused = in_child()
used = vectors()
print(json.dumps([used, unused, in_child(), in_child(), vectors()]))
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_children_that_are_forked_before_and_after_use_give_their_parents_vectors(pretrained: Path, backend: str):
    command = [sys.executable, "-c", _FORKS, str(pretrained), backend, json.dumps(TEXTS)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    parent, *others = json.loads(ended.stdout.splitlines()[-1])
    for answer in others:
        assert not isinstance(answer, str), answer
        np.testing.assert_allclose(answer, parent, atol=1e-5)
