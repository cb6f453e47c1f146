import pytest

from bertkit.foundation.counted import counted


@pytest.mark.parametrize(("count", "words"), [(0, "0 shards"), (1, "1 shard"), (2, "2 shards"), (1200, "1,200 shards")])
def test_one_thing_is_not_many(count: int, words: str):
    assert counted(count, "shard") == words
