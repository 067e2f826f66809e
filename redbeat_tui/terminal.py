"""The terminal is left as it was found, however the console ends.

A driver that survives a terminal that hangs up, signals that end the console in order, log
handlers that would write over the screen, and the text of a crash without local variables.
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

#: What ends the console in order. ctrl+c is a key while it runs, not a signal.
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)

# Esc and Enter that arrive together, as over a slow line, look like alt+enter, which Textual takes
# for Enter alone: whoever leaves a dialog by Esc would have said yes. They are Esc.
for _end in "\r\n":
    cast(dict[str, Any], ANSI_SEQUENCES_KEYS)["\x1b" + _end] = (Keys.Escape,)


class TerminalFile:
    """Standard error, whose end is not an error: after a hang-up what is written is dropped.

    Without this Textual's writer thread dies of the first failed write, and whoever writes
    next waits for it without end.
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
    """Textual's driver, that ends the app when its terminal is gone."""

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
    """Call *end* with the number of a signal that asks the process to end.

    For use inside the running loop. Outside the main thread Python cannot do this: then
    whoever runs the main thread decides.
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
            # Whoever runs the console may have something of its own to clean up.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextlib.contextmanager
def quiet_logging() -> Iterator[None]:
    """Keep log handlers of this process from writing over the screen."""
    names = [name for name in logging.root.manager.loggerDict if isinstance(name, str)]
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in names)]
    ours = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    found: list[tuple[logging.StreamHandler[Any], Any]] = []
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        for logger in loggers:
            for handler in logger.handlers:
                if isinstance(handler, logging.StreamHandler) and handler.stream in ours:
                    found.append((handler, handler.stream))
                    handler.setStream(nowhere)
        fallback, logging.lastResort = logging.lastResort, None
        try:
            yield
        finally:
            logging.lastResort = fallback
            for handler, stream in found:
                handler.setStream(stream)


def secrets_of(url: str) -> tuple[str, ...]:
    """What of *url* nobody may read, the longest first."""
    try:
        password = urlsplit(url).password
    except ValueError:
        password = None
    if not password:
        return (url,) if "@" in url else ()
    return (url, password, unquote(password))


def crash_text(error: BaseException, secrets: tuple[str, ...] = ()) -> str:
    """A traceback for a bug report: no local variables, no *secrets*, no control characters."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    text = "".join(lines)
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return "\n".join(clean(line, limit=400) for line in text.splitlines())
