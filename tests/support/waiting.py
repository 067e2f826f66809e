"""Waiting for something to become true, in real time and with an end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(
    condition: Callable[[], T], timeout: float = 20.0, *, every: float = 0.02, what: str = ""
) -> T:
    """Ask *condition* until its answer is true, and return that answer.

    :param timeout: seconds; generous, since it costs nothing when all goes well.
    :param every: seconds between two questions.
    :param what: what is waited for, in words, for the message.
    :raises AssertionError: it did not become true; the message shows the last answer.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            name = what or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"waited {timeout:g} s for {name}; the last answer: {answer!r}")
        time.sleep(every)


def never(condition: Callable[[], object], during: float, *, what: str = "") -> None:
    """Ask *condition* for *during* seconds and fail as soon as it is true.

    For the absence of something, where there is no event to wait for.
    """
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        answer = condition()
        assert not answer, f"{what or 'it'} happened: {answer!r}"
        time.sleep(0.05)
