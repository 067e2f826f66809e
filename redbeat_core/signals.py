"""Delays signals while a batch runs.

Celery's handler for SIGTERM closes the scheduler inside the handler, between any two instructions.
Between claim and commit that would lose work or do it twice, so the handler runs after the batch.
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
    """Run the block, given the list of the signals that arrive meanwhile; they are delivered right
    after it.

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
    """Whether a signal has arrived and is held back: code that waits should return."""
    return any(len(one.arrived) > one.delivered for one in _held)


@contextmanager
def interrupts_let_through() -> Iterator[None]:
    """Run the block, within one that holds signals back, with signals delivered as usual.

    For a long wait that can be interrupted because no work has begun.
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
    """Wait for *event*, at most *seconds*; an exception of a signal's handler is raised.

    A handler runs between any two instructions, also while the event takes its lock back. An
    exception there leaves the lock as it is, which would raise a RuntimeError of its own.
    """
    try:
        event.wait(seconds)
    except RuntimeError as exc:
        hidden = exc.__context__
        if isinstance(hidden, SystemExit | KeyboardInterrupt):
            raise hidden from None
        raise


def exit_on_default_sigterm() -> None:
    """Turn SIGTERM's default action, an end without clean-up, into a SystemExit.

    A beat embedded in a worker (``-B``) has that default.
    """
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):

        def leave(_signum: int, _frame: FrameType | None) -> None:
            raise SystemExit(0)

        signal.signal(signal.SIGTERM, leave)
