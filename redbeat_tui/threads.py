"""Runs calls that may wait for Redis or compute for long outside the UI thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_running: set[threading.Thread] = set()


async def in_thread(call: Callable[[], T]) -> T:
    """Run *call* in a thread of its own and return its result, or raise its exception.

    It does not use the loop's executor: the loop joins those threads when it ends, so that one call
    to a server that does not answer would keep the console from closing.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def succeed(value: T) -> None:
        if not future.done():
            future.set_result(value)

    def fail(exc: Exception) -> None:
        if not future.done():
            future.set_exception(exc)

    def run() -> None:
        # The loop may be closed when the call ends: then no coroutine waits for the result.
        with contextlib.suppress(RuntimeError):
            try:
                value = call()
            except Exception as exc:
                loop.call_soon_threadsafe(fail, exc)
            else:
                loop.call_soon_threadsafe(succeed, value)
        _running.discard(threading.current_thread())

    thread = threading.Thread(target=run, name="redbeat-call", daemon=True)
    _running.add(thread)
    thread.start()
    return await future


def finish(seconds: float) -> None:
    """Wait up to *seconds* for the running calls to end, so that a write just started is made."""
    deadline = time.monotonic() + seconds
    for thread in tuple(_running):
        thread.join(max(0.0, deadline - time.monotonic()))
