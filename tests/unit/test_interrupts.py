"""A signal that comes while the scheduler waits ends it cleanly, whenever it comes."""

from __future__ import annotations

import random
import signal
import threading
from types import FrameType

import pytest

from redbeat_core.interrupts import wait_for


class Unlocked(threading.Event):
    """As an event is when a handler raises while the lock is taken back."""

    def __init__(self, hidden: BaseException) -> None:
        super().__init__()
        self.hidden = hidden

    def wait(self, timeout: float | None = None) -> bool:
        try:
            raise self.hidden
        finally:
            raise RuntimeError("release unlocked lock")


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_exit_is_not_hidden_by_the_lock_of_the_event(kind: type[BaseException]) -> None:
    with pytest.raises(kind):
        wait_for(Unlocked(kind()), 1)


def test_another_error_comes_out_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="unlocked"):
        wait_for(Unlocked(ValueError()), 1)


def test_a_signal_at_any_instant_comes_out_as_what_its_handler_raises() -> None:
    def leave(_signum: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGALRM, leave)
    try:
        for _ in range(300):
            event = threading.Event()
            with pytest.raises(SystemExit):  # noqa: PT012
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-3))
                while True:
                    wait_for(event, 1e-4)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
