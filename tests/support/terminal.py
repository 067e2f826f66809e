"""A program on a real pseudo terminal, and what a person would see there.

:class:`Terminal` starts the program in a session of its own with the pty as its controlling
terminal, types keys, and keeps both the screen (as pyte understands it) and every byte that came.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyte

from .orphans import end_with_parent
from .processes import clean_environment
from .waiting import wait_for

#: Seconds without output after which a picture is complete.
QUIET = 0.1


class Terminal:
    """One program on a terminal of its own.

    :ivar pid: the program's process id.
    :ivar output: every byte that it wrote.
    :ivar modes_before: the terminal's modes (echo, ...) before the program ran.
    :ivar modes_after: the same after :meth:`wait`.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        directory: Path,
        columns: int = 100,
        lines: int = 30,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.output = b""
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._master, slave = pty.openpty()
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        self.modes_before = self.modes_after = termios.tcgetattr(slave)
        self._slave = slave
        self._closed = False
        self._last_output = 0.0
        self._process = subprocess.Popen(
            words,
            cwd=directory,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**clean_environment(), "TERM": "xterm-256color", **(environment or {})},
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """The screen as lines of text."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self._screen.display)

    def press(self, keys: str) -> None:
        """Type *keys* (text, or escape sequences)."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size."""
        with self._lock:
            self._screen.resize(lines, columns)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGWINCH)

    def wait_for_text(self, text: str, timeout: float = 30.0) -> str:
        """Wait until *text* is on the screen and the drawing has paused; returns the screen."""
        try:
            wait_for(lambda: text in self.text, timeout, what=f"{text!r} on the screen")
        except AssertionError:
            raise AssertionError(f"{text!r} did not come; the screen:\n{self.text}") from None
        # The rest of the same picture may still be on its way.
        enough = time.monotonic() + 2
        while time.monotonic() < min(enough, self._last_output + QUIET):
            time.sleep(0.01)
        return self.text

    def send(self, what: signal.Signals) -> None:
        """Send a signal to the program."""
        os.kill(self.pid, what)

    def wait(self, timeout: float = 20.0) -> int:
        """Wait until the program has ended; its exit code."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it still runs; the screen:\n{self.text}") from None
        self._let_go()
        return code

    def hang_up(self) -> None:
        """Take the terminal away from the running program, as a lost SSH session does."""
        self._let_go(read=False)
        self._close_master()

    def close(self) -> None:
        """End the program and take the terminal away."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(20)
        self._let_go()
        self._close_master()

    def _close_master(self) -> None:
        # Not while the reader is in the middle of a read: that would keep the terminal alive.
        if not self._closed:
            self._closed = True
            self._reader.join()
            os.close(self._master)

    def _let_go(self, *, read: bool = True) -> None:
        # Our own copy of the program's end keeps the pty open, so that no output is lost.
        if self._slave >= 0:
            self.modes_after = termios.tcgetattr(self._slave)
            os.close(self._slave)
            self._slave = -1
            if read:
                self._reader.join(5)

    def _read(self) -> None:
        while not self._closed:
            try:
                if not select.select([self._master], [], [], 0.05)[0]:
                    continue
                piece = os.read(self._master, 65536)
            except OSError:
                return
            if not piece:
                return
            with self._lock:
                self.output += piece
                self._last_output = time.monotonic()
                self._stream.feed(piece)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    end_with_parent()
