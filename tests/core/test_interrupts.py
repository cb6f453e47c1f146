"""A signal ends a command once, whatever it meets, and what is done on the way out is left in peace."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from bertkit.core import interrupts
from bertkit.core.interrupts import Interrupts, Terminated


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(interrupts, "_CHECK_SECONDS", 0.02)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_is_an_exception_of_its_own_kind(number: signal.Signals, kind: type[KeyboardInterrupt]):
    with Interrupts() as found, pytest.raises(kind) as raised:
        os.kill(os.getpid(), number)
    assert type(raised.value) is kind
    assert found.received == number


def _swallow() -> None:
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    except KeyboardInterrupt:
        pass


class _Finalized:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("where", ["a handler", "a finalizer"])
def test_a_signal_whose_exception_is_swallowed_is_raised_again(where: str, capfd):
    begun = []
    with Interrupts(), pytest.raises(Terminated):
        if where == "a handler":
            _swallow()
        else:
            _Finalized()
        begun.append(True)  # it is lost so far
        while True:
            time.sleep(0.01)
    assert begun
    assert not capfd.readouterr().err


def test_more_signals_do_not_disturb_what_is_done_on_the_way_out():
    done = []
    with Interrupts() as found, pytest.raises(Terminated):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            try:
                time.sleep(0.1)  # several times as long as a lost exception is waited for
                raise OSError("a second error on the way")
            except OSError:
                time.sleep(0.1)
            done.append(True)
    assert done
    assert found.received == signal.SIGTERM
