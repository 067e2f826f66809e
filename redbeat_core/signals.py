"""Delays the handlers of SIGTERM and SIGINT until the current batch has ended.

Celery's handler for SIGTERM closes the scheduler inside the handler, between any two instructions
of the running code. Between claim and commit that would lose work or do it twice, so the handler
runs after the batch.
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
    """Delay signals during the block; deliver them right after it.

    Yields the list of the signals that have arrived; it grows during the block. Does nothing
    outside the main thread, where Python delivers no signals.
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
        # None: C code set the handler, and Python cannot restore it.
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
    """The state of one block that delays signals.

    :ivar previous: the handlers before the block.
    :ivar note: the handler during the block; it appends to *arrived*.
    :ivar arrived: the signals that arrived during the block.
    :ivar delivered: the number of them that were delivered since.
    """

    previous: dict[signal.Signals, Any]
    note: Callable[[int, FrameType | None], None]
    arrived: list[int]
    delivered: int = 0

    def let_go(self) -> None:
        """Restore the previous handlers and deliver the delayed signals."""
        for held, handler in self.previous.items():
            signal.signal(held, handler)
        while self.delivered < len(self.arrived):
            self.delivered += 1
            signal.raise_signal(self.arrived[self.delivered - 1])


#: The blocks of the main thread that delay signals now, the innermost last.
_held: list[_Holding] = []


def interrupted() -> bool:
    """Whether a delayed signal has arrived: a waiting caller should stop waiting."""
    return any(len(holding.arrived) > holding.delivered for holding in _held)


@contextmanager
def interrupts_let_through() -> Iterator[None]:
    """Deliver signals at once during the block, inside one that delays them.

    Use it for a long wait at a point where no work is half done.
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
    """Wait for *event*, at most *seconds*.

    :raises SystemExit: a signal handler raised it during the wait.
    :raises KeyboardInterrupt: likewise.

    A handler runs between any two instructions, also while the event takes its lock again. An
    exception that the handler raises there leaves the lock released, and Python replaces it with a
    RuntimeError about that lock; this function raises the original exception.
    """
    try:
        event.wait(seconds)
    except RuntimeError as exc:
        hidden = exc.__context__
        if isinstance(hidden, SystemExit | KeyboardInterrupt):
            raise hidden from None
        raise


def exit_on_default_sigterm() -> None:
    """Replace SIGTERM's default action, which ends the process without clean-up, by SystemExit.

    A beat embedded in a worker (``-B``) has the default action.
    """
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):

        def leave(_signum: int, _frame: FrameType | None) -> None:
            raise SystemExit(0)

        signal.signal(signal.SIGTERM, leave)
