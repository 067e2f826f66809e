"""A signal that comes while the scheduler waits ends it cleanly, whenever it comes."""

from __future__ import annotations

import random
import signal
import threading
from types import FrameType

import pytest

from redbeat_core.signals import interrupts_held_back, interrupts_let_through, wait_for


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


@pytest.mark.parametrize("early", [True, False], ids=["before the wait", "within it"])
def test_a_signal_is_delivered_within_a_long_wait_and_only_once(early: bool) -> None:
    came: list[str] = []

    def leave(_signum: int, _frame: FrameType | None) -> None:
        came.append("signal")
        raise SystemExit

    before = signal.signal(signal.SIGTERM, leave)

    def end_within() -> None:
        with interrupts_held_back() as arrived:
            if early:
                signal.raise_signal(signal.SIGTERM)
                assert arrived
            assert came == []
            with interrupts_let_through():
                signal.raise_signal(signal.SIGTERM)
                came.append("the rest of the wait")

    try:
        with pytest.raises(SystemExit):
            end_within()
        assert came == ["signal"]
        assert signal.getsignal(signal.SIGTERM) is leave
    finally:
        signal.signal(signal.SIGTERM, before)


def test_after_the_wait_signals_are_held_back_again() -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda signum, _: came.append(signum))
    try:
        with interrupts_held_back() as arrived:
            with interrupts_let_through():
                pass
            signal.raise_signal(signal.SIGTERM)
            assert (len(arrived), came) == (1, [])
        assert len(came) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
