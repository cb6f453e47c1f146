import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bertkit.core.randomness import derive_key, generator, uniforms


def test_the_stream_is_splitmix64():
    state, expected = 1234567, []
    for _ in range(5):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        mixed = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
        expected.append(((mixed ^ (mixed >> 31)) >> 11) / 2**53)
    assert uniforms(1234567, np.arange(5, dtype=np.uint64)).tolist() == expected


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 2**64 - 1), min_size=1))
def test_a_draw_depends_on_its_counter_alone(key: int, counters: list[int]):
    together = uniforms(key, np.array(counters, np.uint64))
    alone = [float(uniforms(key, np.array([counter], np.uint64))[0]) for counter in counters]
    assert together.tolist() == alone
    assert ((together >= 0) & (together < 1)).all()


def test_draws_are_uniform():
    draws = uniforms(derive_key(0, "test"), np.arange(100_000, dtype=np.uint64))
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    assert ((counts - 5000) ** 2 / 5000).sum() < 50  # chi-squared with 19 degrees of freedom, p = 0.0001


def test_keys_tell_purposes_apart():
    keys = {derive_key(*parts) for parts in [(0, "a"), (0, "b"), (1, "a"), ("0", "a"), (0, "a", 0), (0, "a0")]}
    assert len(keys) == 6
    assert generator(derive_key(0, "a")).random() == generator(derive_key(0, "a")).random()
