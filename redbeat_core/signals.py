"""Holding signals back while a batch is under way.

Celery's handler for SIGTERM closes the scheduler inside the handler, between two instructions
of whatever was going on. Between claim and commit that would mean work thrown away or done
twice, so the handler runs after the batch.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

HELD_BACK = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def interrupts_held_back() -> Iterator[Sequence[int]]:
    """Run the block, given the signals that came meanwhile; they are delivered right after it.

    Does nothing outside the main thread, where Python delivers no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield ()
        return
    arrived: list[int] = []

    def note(signum: int, _frame: FrameType | None) -> None:
        arrived.append(signum)

    previous: dict[signal.Signals, Any] = {}
    for held in HELD_BACK:
        handler = signal.getsignal(held)
        # None: set by C code, which we could not put back.
        if handler is not None:
            previous[held] = handler
            signal.signal(held, note)
    holding = _Holding(previous, note, arrived)
    _held.append(holding)
    try:
        yield arrived
    finally:
        _held.remove(holding)
        holding.let_go()


@dataclass(slots=True)
class _Holding:
    previous: dict[signal.Signals, Any]
    note: Callable[[int, FrameType | None], None]
    arrived: list[int]
    delivered: int = 0

    def let_go(self) -> None:
        for held, handler in self.previous.items():
            signal.signal(held, handler)
        while self.delivered < len(self.arrived):
            self.delivered += 1
            signal.raise_signal(self.arrived[self.delivered - 1])


#: What holds signals back now, in the main thread.
_held: list[_Holding] = []


def interrupted() -> bool:
    """Whether a signal is held back that has come: whoever waits had better come to an end."""
    return any(len(one.arrived) > one.delivered for one in _held)


@contextmanager
def interrupts_let_through() -> Iterator[None]:
    """Run the block, within one that holds signals back, with signals delivered as ever.

    For a long wait before which nothing was begun that an end would leave half done.
    """
    if not _held or threading.current_thread() is not threading.main_thread():
        yield
        return
    holding = _held[-1]
    try:
        holding.let_go()
        yield
    finally:
        for held in holding.previous:
            signal.signal(held, holding.note)


def wait_for(event: threading.Event, seconds: float) -> None:
    """Wait for *event*, at most *seconds*; what a signal's handler raises meanwhile comes out.

    A handler runs between any two instructions, also while the event takes its lock back. What it
    raises there leaves the lock as it is, and would come out as a RuntimeError about that.
    """
    try:
        event.wait(seconds)
    except RuntimeError as exc:
        hidden = exc.__context__
        if isinstance(hidden, SystemExit | KeyboardInterrupt):
            raise hidden from None
        raise


def exit_on_default_sigterm() -> None:
    """Turn SIGTERM's default, an end without any clean-up, into a SystemExit.

    A beat embedded in a worker (``-B``) has that default.
    """
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):

        def leave(_signum: int, _frame: FrameType | None) -> None:
            raise SystemExit(0)

        signal.signal(signal.SIGTERM, leave)
