"""Restores the terminal, however the console ends.

A driver that survives a terminal that hangs up, an orderly end on signals, log handlers that do not
write over the screen, and the text of a crash without local variables.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import termios
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, cast
from urllib.parse import unquote, urlsplit

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.drivers.linux_driver import LinuxDriver
from textual.keys import Keys

from redbeat_tui.text.sanitize import clean

#: The signals that end the console in order. ctrl+c is a key while it runs, not a signal.
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)

# Esc and Enter that arrive together, as over a slow line, look like alt+enter, which Textual reads
# as Enter alone: an operator who leaves a dialog by Esc would confirm it. Read them as Esc.
for _end in "\r\n":
    cast(dict[str, Any], ANSI_SEQUENCES_KEYS)["\x1b" + _end] = (Keys.Escape,)


class TerminalFile:
    """Standard error that drops all writes after a hang-up instead of raising.

    Without it the first failed write ends Textual's writer thread, and the next write waits for
    that thread forever.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.lost = False

    def write(self, text: str) -> int:
        try:
            return self._file.write(text)
        except (OSError, ValueError):
            self.lost = True
            return len(text)

    def flush(self) -> None:
        try:
            self._file.flush()
        except (OSError, ValueError):
            self.lost = True

    def fileno(self) -> int:
        return self._file.fileno()

    def isatty(self) -> bool:
        return self._file.isatty()


class ConsoleDriver(LinuxDriver):
    """Textual's driver that also ends the app when the terminal hangs up."""

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, **options)
        self._terminal = TerminalFile(sys.__stderr__ or sys.stderr)
        self._file = cast(Any, self._terminal)

    @property
    def lost(self) -> bool:
        """Whether the terminal hung up."""
        if not self._terminal.lost and self.input_tty:
            try:
                termios.tcgetattr(self.fileno)
            except (termios.error, OSError):
                self._terminal.lost = True
        return self._terminal.lost

    def _run_input_thread(self) -> None:
        try:
            self.run_input_thread()
        except OSError:
            self._terminal.lost = True
            self._app.call_later(self._app.exit)
        except Exception as exc:
            self._app.call_later(self._app._handle_exception, exc)


@contextlib.contextmanager
def ending_on_signals(end: Callable[[int], None]) -> Iterator[None]:
    """Call *end* with the number of each signal that asks the process to end.

    For use inside the running loop. Python handles signals in the main thread only: in another
    thread this does nothing, and the owner of the main thread decides.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            # The caller of the console may clean up in a handler of its own.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextlib.contextmanager
def quiet_logging() -> Iterator[None]:
    """Keep log handlers of this process from writing over the screen."""
    names = [name for name in logging.root.manager.loggerDict if isinstance(name, str)]
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in names)]
    ours = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    silenced: list[tuple[logging.StreamHandler[Any], Any]] = []
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        for logger in loggers:
            for handler in logger.handlers:
                if isinstance(handler, logging.StreamHandler) and handler.stream in ours:
                    silenced.append((handler, handler.stream))
                    handler.setStream(nowhere)
        fallback = logging.lastResort
        logging.lastResort = None
        try:
            yield
        finally:
            logging.lastResort = fallback
            for handler, stream in silenced:
                handler.setStream(stream)


def secrets_of(url: str) -> tuple[str, ...]:
    """Return the parts of *url* that must not be shown, the longest first."""
    try:
        password = urlsplit(url).password
    except ValueError:
        password = None
    if not password:
        return (url,) if "@" in url else ()
    return (url, password, unquote(password))


def crash_text(error: BaseException, secrets: tuple[str, ...] = ()) -> str:
    """Return a traceback for a bug report, without local variables, *secrets* and control
    characters."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    text = "".join(lines)
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return "\n".join(clean(line, limit=400) for line in text.splitlines())
