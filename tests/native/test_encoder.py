import itertools
import os
import signal
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bertkit.core.errors import InputError
from bertkit.native.encoder import NativeEncoder, Wanted
from bertkit.native.linear import Int8Weights
from native_encoders import BERT, ENTRIES, MODERN, ROBERTA, Float64Encoder, packed, random_weights
from native_isas import AVAILABLE, every_isa, every_product, needs_native

LENGTHS = [1, 2, 7, 31, 32, 33, 70, 150, 5]
EVERY_LAYER = [Wanted(layer) for layer in range(4)]
SHAPES = {"bert": (BERT, None), "roberta": (ROBERTA, None), "electra": (BERT, 20), "modernbert": (MODERN, None)}


def _encoder(name: str, kind: str = "float32", isa: str | None = None) -> NativeEncoder:
    shape, embedding = SHAPES[name]
    return NativeEncoder(shape, random_weights(shape, embedding=embedding), kind, isa=isa)


def _exact(name: str, ids: np.ndarray, types: np.ndarray, starts: np.ndarray) -> list[np.ndarray]:
    shape, embedding = SHAPES[name]
    reference = Float64Encoder(shape, random_weights(shape, embedding=embedding))
    each = [reference.states(ids[a:b], types[a:b]) for a, b in itertools.pairwise(starts)]
    return [np.concatenate(states) for states in zip(*each, strict=True)]


def _cosines(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    return (rows * others).sum(1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(others, axis=1)


@every_isa
@pytest.mark.parametrize("name", SHAPES)
def test_every_layer_is_that_of_float64(name: str, isa: str):
    batch = packed(LENGTHS)
    states = _encoder(name, isa=isa).run(*batch, EVERY_LAYER)
    for ours, exact in zip(states, _exact(name, *batch), strict=True):
        np.testing.assert_allclose(ours, exact, atol=1e-5)


@every_product
@pytest.mark.parametrize("name", SHAPES)
def test_lower_precision_stays_near(name: str, kind: str, isa: str):
    batch = packed(LENGTHS)
    (last,) = _encoder(name, kind, isa).run(*batch, [Wanted(3)])
    least = {"float32": 0.999999, "bf16": 0.999, "int8": 0.99}[kind]
    assert _cosines(last, _exact(name, *batch)[-1]).min() > least


@every_product
@pytest.mark.parametrize("name", ["electra", "modernbert"])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_text_has_the_same_bits_alone_and_among_others(name: str, kind: str, isa: str, threads: int):
    encoder = _encoder(name, kind, isa)
    ids, types, starts = packed(LENGTHS)
    together = encoder.run(ids, types, starts, EVERY_LAYER, threads=threads)
    for start, end in itertools.pairwise(starts):
        alone = encoder.run(ids[start:end], types[start:end], np.array([0, end - start]), EVERY_LAYER)
        for one, all_ in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, all_[start:end])


@every_product
def test_chosen_tokens_are_those_of_all_tokens(kind: str, isa: str):
    encoder = _encoder("modernbert", kind, isa)
    ids, types, starts = packed(LENGTHS)
    (last,) = encoder.run(ids, types, starts, [Wanted(3)])
    chosen = np.array([0, 4, 9, 41, 100, len(ids) - 1])
    for threads in (1, 2):
        (some,) = encoder.run(ids, types, starts, [Wanted(3, "chosen")], chosen=chosen, threads=threads)
        np.testing.assert_array_equal(some, last[chosen])
        (firsts,) = encoder.run(ids, types, starts, [Wanted(3, "first")], threads=threads)
        np.testing.assert_array_equal(firsts, last[starts[:-1]])


@needs_native
def test_several_wants_are_served_by_one_pass():
    encoder = _encoder("bert")
    ids, types, starts = packed([3, 8])
    chosen = np.array([1, 10])
    wanted = [Wanted(1, "mean"), Wanted(2, "first"), Wanted(1, "chosen"), Wanted(2)]
    mean, firsts, some, second = encoder.run(ids, types, starts, wanted, chosen=chosen)
    first_layer, second_layer = encoder.run(ids, types, starts, [Wanted(1), Wanted(2)])
    np.testing.assert_allclose(mean, [first_layer[:3].mean(0), first_layer[3:].mean(0)], atol=1e-6)
    np.testing.assert_array_equal(firsts, second_layer[[0, 3]])
    np.testing.assert_array_equal(some, first_layer[chosen])
    np.testing.assert_array_equal(second, second_layer)


@needs_native
def test_int8_weights_that_were_stored_count_and_matrices_that_were_not_stay_in_float32():
    weights = random_weights(BERT)
    stored = {}
    for name in (name.removesuffix(".weight") for name in weights if name.startswith(("layers.0.", "layers.1."))):
        matrix = weights.get(f"{name}.weight", np.empty(0))
        if matrix.ndim == 2:
            scales = np.abs(matrix).max(1) / np.float32(127)
            stored[name] = Int8Weights(np.rint(matrix / scales[:, None]).astype(np.int8), scales)
    batch = packed(LENGTHS)
    exact = NativeEncoder(BERT, weights).run(*batch, EVERY_LAYER)
    mixed = NativeEncoder(BERT, weights, "int8", stored=stored).run(*batch, EVERY_LAYER)
    all_int8 = NativeEncoder(BERT, weights, "int8").run(*batch, EVERY_LAYER)
    loss, loss_of_all = (1 - _cosines(states[3], exact[3]).mean() for states in (mixed, all_int8))
    assert 0 < loss < loss_of_all


@needs_native
def test_the_weights_may_go_while_helpers_sleep():
    encoder = _encoder("bert")
    encoder.run(*packed(LENGTHS), EVERY_LAYER, threads=3)
    gone = weakref.ref(encoder)
    del encoder
    assert gone() is None
    assert np.isfinite(_encoder("bert").run(*packed(LENGTHS), EVERY_LAYER, threads=3)[3]).all()


@needs_native
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_calls_from_several_threads_at_once_do_not_mix(threads: int):
    encoder = _encoder("bert")
    batches = [packed([length, 3], seed=length) for length in range(1, 41)]
    expected = [encoder.run(*batch, [Wanted(3)])[0] for batch in batches]

    def check(number: int) -> None:
        place = number % len(batches)
        np.testing.assert_array_equal(encoder.run(*batches[place], [Wanted(3)], threads=threads)[0], expected[place])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(check, range(400)))


def _in_child(check) -> int:
    """The exit code of a fork that runs `check`; 20 seconds without an end are a signal."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            check()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@needs_native
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_a_fork_encodes_before_and_after_use_with_threads():
    encoder, batch = _encoder("bert"), packed(LENGTHS)

    def check() -> None:
        np.testing.assert_array_equal(encoder.run(*batch, [Wanted(3)], threads=3)[0], expected)

    (expected,) = encoder.run(*batch, [Wanted(3)])
    assert _in_child(check) == 0
    encoder.run(*batch, [Wanted(3)], threads=3)
    assert _in_child(check) == 0
    assert _in_child(lambda: _in_child(check) == 0 or os._exit(1)) == 0
    check()


@needs_native
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_a_fork_in_the_middle_of_other_threads_calls_encodes():
    encoder, batch = _encoder("bert"), packed(LENGTHS)
    (expected,) = encoder.run(*batch, [Wanted(3)])
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            encoder.run(*batch, [Wanted(3)], threads=2)

    def check() -> None:
        np.testing.assert_array_equal(encoder.run(*batch, [Wanted(3)], threads=2)[0], expected)

    others = [threading.Thread(target=work) for _ in range(2)]
    for other in others:
        other.start()
    codes = [_in_child(check) for _ in range(10)]
    stop.set()
    for other in others:
        other.join()
    assert codes == [0] * 10


@needs_native
@pytest.mark.filterwarnings("ignore:.*fork.*")
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system gives a process no core of its own")
def test_what_a_helper_does_not_finish_in_time_is_computed_by_the_caller():
    """On one core a helper runs only while the caller does not, and is taken off the core in the middle of its work."""
    encoder, batch = _encoder("bert"), packed(LENGTHS)
    expected = encoder.run(*batch, EVERY_LAYER)

    def check() -> None:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        until = time.monotonic() + 1
        while time.monotonic() < until:  # calls that met a late helper do without any for a while
            for ours, exact in zip(encoder.run(*batch, EVERY_LAYER, threads=4), expected, strict=True):
                np.testing.assert_array_equal(ours, exact)

    assert _in_child(check) == 0


@needs_native
def test_lengths_at_random_do_not_grow_the_memory():
    resource = pytest.importorskip("resource", reason="this system does not tell the memory of a process")
    encoder, random = _encoder("bert"), np.random.default_rng(0)
    encoder.run(*packed([400]), [Wanted(3)], threads=2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for length in random.integers(1, 400, 300):
        encoder.run(*packed([int(length)]), [Wanted(3, "mean")], threads=2)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024  # KiB


@needs_native
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ids, types, starts: (ids + ENTRIES, types, starts), "token ids must lie in 0 to 49"),
        (lambda ids, types, starts: (ids - ENTRIES, types, starts), "token ids must lie in 0 to 49"),
        (lambda ids, types, starts: (ids, types + 2, starts), "token types must lie in 0 to 1"),
    ],
)
def test_what_has_no_row_in_a_table_is_refused(change, message: str):
    with pytest.raises(InputError, match=message):
        _encoder("bert").run(*change(*packed([4])), [Wanted(3)])


@needs_native
def test_a_sequence_without_positions_is_refused():
    with pytest.raises(InputError, match="a sequence has 401 tokens, the model has 400 positions"):
        _encoder("bert").run(*packed([401]), [Wanted(3)])


@needs_native
def test_bf16_is_refused_where_the_cpu_has_none():
    with pytest.raises(InputError, match=r"does not multiply bf16 \(avx2\)"):
        _encoder("bert", "bf16", AVAILABLE[0])


@needs_native
def test_a_level_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="this CPU has no avx1024: it has avx2"):
        _encoder("bert", isa="avx1024")
