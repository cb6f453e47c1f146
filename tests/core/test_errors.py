import pickle

import pytest

from bertkit.core.errors import BertkitError, DivergedError, InputError, MemoryLimitError, RankError, ResourceError


@pytest.mark.parametrize("kind", [InputError, ResourceError, DivergedError])
def test_an_error_comes_back_from_its_exit_code(kind: type[BertkitError]):
    error = BertkitError.of(kind.exit_code, "what happened")
    assert type(error) is kind
    assert str(error) == "what happened"


def test_a_bug_is_no_error_of_ours():
    assert BertkitError.of(1, "what happened") is None


def test_only_a_wrong_value_is_a_value_error():
    assert issubclass(InputError, ValueError)
    assert not issubclass(ResourceError, ValueError)
    assert not issubclass(DivergedError, ValueError)


@pytest.mark.parametrize("error", [MemoryLimitError.on("cuda", "this"), RankError("process 1 failed")])
def test_an_error_survives_the_way_between_processes(error: BertkitError):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert isinstance(again, ResourceError)
