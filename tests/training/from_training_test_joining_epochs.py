from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bertkit.training.joining_epochs import joining_epochs


def test_a_part_joins_an_epoch_where_there_are_enough():
    assert joining_epochs(3, 4) == [1, 2, 3]
    assert joining_epochs(3, 9) == [1, 2, 3]
    assert joining_epochs(13, 3) == [1] * 7 + [2] * 6


@given(parts=st.integers(1, 50), epochs=st.integers(2, 60))
def test_parts_join_from_the_top_down_and_all_learn_in_the_last_epoch(parts: int, epochs: int):
    joining = joining_epochs(parts, epochs)
    assert len(joining) == parts
    assert joining[0] == 1
    assert joining[-1] <= epochs - 1
    assert all(0 <= later - sooner <= 1 for sooner, later in pairwise(joining))
