import pytest

from bertkit.core.errors import InputError
from bertkit.data.instances.options import StageOptions
from bertkit.data.instances.stages import BatchPhase, plan_stages


def _plan(*, batch_size: int = 256, by_time: bool = False, **options: object) -> list[BatchPhase]:
    return plan_stages(StageOptions(**options), batch_size=batch_size, seq_length=128, by_time=by_time)


def test_a_run_that_does_not_grow_has_one_stage():
    assert _plan() == [BatchPhase(start=0.0, batch_size=256, seq_length=128)]


def test_a_batch_is_doubled_in_even_intervals_until_it_is_whole():
    stages = _plan(batch_size=100, ramp_from=8, ramp_share=0.6)
    assert [stage.batch_size for stage in stages] == [8, 16, 32, 64, 100]
    assert [stage.start for stage in stages] == pytest.approx([0.0, 0.15, 0.3, 0.45, 0.6])


@pytest.mark.parametrize("ramp_from", [100, 256])
def test_a_ramp_that_does_not_begin_below_the_batch_is_none(ramp_from: int):
    assert _plan(batch_size=100, ramp_from=ramp_from) == _plan(batch_size=100)


def test_long_sequences_come_in_the_last_tenth_of_the_steps():
    stages = _plan(long_seq_length=512)
    assert [(stage.seq_length, stage.start) for stage in stages] == [(128, 0.0), (512, 0.9)]


def test_by_time_they_take_what_so_many_steps_take():
    """A step at 512 has four times the tokens: 10 % of the steps are 0.4 of 1.3 parts of the time."""
    assert _plan(long_seq_length=512, by_time=True)[1].start == pytest.approx(0.9 / 1.3)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"ramp_from": 0}, "ramp_from"),
        ({"long_seq_length": 128}, "long_seq_length 128"),
        ({"long_share": 1.0}, "long_share"),
        ({"ramp_from": 8, "ramp_share": 0.95, "long_seq_length": 512}, "more than the run"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, object], word: str):
    with pytest.raises(InputError, match=word):
        _plan(**options)


def test_a_ramp_and_long_sequences_that_fit_by_steps_may_not_fit_by_time():
    growth = {"ramp_from": 8, "ramp_share": 0.8, "long_seq_length": 512, "long_share": 0.15}
    assert _plan(**growth)[-1].start == pytest.approx(0.85)
    with pytest.raises(InputError, match=r"ramp_share 0\.8 and long_share 0\.15, which is 0\.41 of the time, are more"):
        _plan(**growth, by_time=True)


def test_a_ramp_may_end_where_long_sequences_begin():
    starts = [stage.start for stage in _plan(ramp_from=128, ramp_share=0.1, long_seq_length=512, long_share=0.9)]
    assert starts == [0.0, 0.1, 0.1]
