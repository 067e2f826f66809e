"""Starts the demo's guard (:mod:`redbeat_tui.demo.guard`) and reads its messages from a pipe."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any

#: Seconds that the guard gets to start the server, the worker and the beat.
START_TIMEOUT = 40.0

#: Seconds that the guard gets to end them and clean up.
END_TIMEOUT = 10.0

NO_SERVER = (
    "the demo's own server is not installed: pip install 'redbeat-tui[demo]', "
    "or give it a Redis of yours with --url redis://..."
)


class DemoError(Exception):
    """The demo cannot run; the message is a sentence for the operator."""


class Processes:
    """A server (unless *url* names one), a worker and a beat that run while the context is open.

    :ivar url: the server's URL.
    :ivar prefix: the prefix of all keys of the demo.
    :ivar trouble: one sentence for each process that ended by itself.
    """

    def __init__(self, url: str | None = None) -> None:
        self._given = url
        self.url = url or ""
        self.prefix = f"redbeat-demo-{secrets.token_hex(4)}:" if url else "redbeat:"
        self.trouble: list[str] = []
        self._directory: str | None = None
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._guard: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None

    def __enter__(self) -> Processes:
        # A session of its own, so that the terminal's Ctrl-C and hang-up do not reach it.
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "redbeat_tui.demo.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        try:
            self._open(self._guard)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def check(self) -> None:
        """Read the guard's messages.

        :raises DemoError: a process ended by itself, or the guard did.
        """
        if self.news():
            raise DemoError("\n".join(self.trouble))

    def news(self) -> list[str]:
        """Read the guard's messages, and return :attr:`trouble`."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._take(self._messages.get_nowait())
        return self.trouble

    def close(self) -> None:
        """End all processes of the demo, and wait until they have ended."""
        guard = self._guard
        if guard is None:
            return
        self._guard = None
        # A second signal must not stop the clean-up: the guard would do it, but the demo would
        # not wait for it.
        with _signals_ignored(), contextlib.suppress(BrokenPipeError):
            assert guard.stdin is not None
            guard.stdin.close()
            try:
                cleaned_up = guard.wait(END_TIMEOUT) == 0
            except subprocess.TimeoutExpired:
                cleaned_up = False
            if not cleaned_up:
                self._end_by_force(guard)

    def _open(self, guard: subprocess.Popen[str]) -> None:
        self._listener = threading.Thread(target=self._listen, args=(guard,), daemon=True)
        self._listener.start()
        assert guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            guard.stdin.write(json.dumps({"url": self._given, "prefix": self.prefix}) + "\n")
            guard.stdin.flush()
        while True:
            try:
                message = self._messages.get(timeout=START_TIMEOUT)
            except queue.Empty:
                raise DemoError(f"the demo did not start within {START_TIMEOUT:g} s") from None
            if "failed" in message:
                raise DemoError(f"the demo could not start: {message['failed']}")
            self._take(message)
            if self.trouble:
                raise DemoError(self.trouble[0])
            if "ready" in message:
                return

    def _listen(self, guard: subprocess.Popen[str]) -> None:
        assert guard.stdout is not None
        for line in guard.stdout:
            self._messages.put(json.loads(line))
        self._messages.put({"gone": "guard"})

    def _take(self, message: dict[str, Any]) -> None:
        if "directory" in message:
            self._directory = message["directory"]
        elif "ready" in message:
            self.url = message["ready"]
        elif "ended" in message:
            self.trouble.append(
                f"the demo's {message['ended']} ended by itself; the end of its log:\n"
                f"{message['log']}"
            )
        elif "gone" in message:
            self.trouble.append("the process that guards the demo was ended from outside")

    def _end_by_force(self, guard: subprocess.Popen[str]) -> None:
        """End the processes and clean up in place of a guard that is dead or stuck. Its processes
        are in its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(guard.pid, signal.SIGKILL)
        guard.wait()
        if self._given is not None:
            from .guard import remove_keys

            remove_keys(self._given, self.prefix)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    """Ignore the signals that end a program, in the main thread, where Python can."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
