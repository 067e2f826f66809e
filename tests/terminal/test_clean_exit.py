"""The terminal is restored, however the console ends."""

from __future__ import annotations

import re
import signal
import sys
import termios
from pathlib import Path

import pytest

from redbeat_core.storage.schedule_store import ScheduleStore
from tests.support.server import Server
from tests.support.terminal import Terminal
from tests.support.waiting import wait_for

from .conftest import Add, Open

#: The sequence that switches a mode on -> the sequence that switches it off.
MODES = {
    b"\x1b[?1049h": b"\x1b[?1049l",  # alternate screen
    b"\x1b[?1000h": b"\x1b[?1000l",  # mouse
    b"\x1b[?1003h": b"\x1b[?1003l",
    b"\x1b[?1015h": b"\x1b[?1015l",
    b"\x1b[?1006h": b"\x1b[?1006l",
    b"\x1b[?25l": b"\x1b[?25h",  # hidden cursor
    b"\x1b[?1004h": b"\x1b[?1004l",  # focus reports
    b"\x1b[?2004h": b"\x1b[?2004l",  # bracketed paste
    b"\x1b[?7l": b"\x1b[?7h",  # no wrapping
}


def assert_clean(terminal: Terminal) -> None:
    for on, off in MODES.items():
        assert on in terminal.output, f"{on!r} was never switched on"
        assert terminal.output.rindex(off) > terminal.output.rindex(on), f"{on!r} stays on"
    # The keyboard protocol is pushed and popped.
    assert len(re.findall(rb"\x1b\[>\d+u", terminal.output)) == terminal.output.count(b"\x1b[<u")
    assert terminal.modes_after[3] & termios.ECHO
    assert terminal.modes_after == terminal.modes_before


@pytest.mark.parametrize("key", ["q", "\x11", "\x03"], ids=["q", "ctrl+q", "ctrl+c"])
def test_a_key_leaves_the_terminal_clean(console: Open, add: Add, key: str) -> None:
    add("daily report")
    terminal = console()
    terminal.wait_for_text("daily report")
    terminal.press(key)
    assert terminal.wait() == 0
    assert_clean(terminal)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_leaves_the_terminal_clean(
    console: Open, add: Add, number: signal.Signals
) -> None:
    add("daily report")
    terminal = console()
    terminal.wait_for_text("daily report")
    terminal.send(number)
    assert terminal.wait() == 128 + number
    assert_clean(terminal)


def test_a_signal_while_a_dialog_is_open_leaves_the_terminal_clean(console: Open, add: Add) -> None:
    add("daily report")
    terminal = console()
    terminal.wait_for_text("daily report")
    terminal.press("e")
    terminal.wait_for_text("Edit the schedule")
    terminal.send(signal.SIGTERM)
    assert terminal.wait() == 128 + signal.SIGTERM
    assert_clean(terminal)


def test_a_signal_while_redis_hangs_ends_the_console_at_once(
    console: Open, add: Add, server: Server
) -> None:
    add("daily report")
    terminal = console()
    terminal.wait_for_text("daily report")
    server.freeze()
    try:
        terminal.press("p")
        terminal.wait_for_text("Pause")
        terminal.press("\r")
        terminal.send(signal.SIGTERM)
        assert terminal.wait(5) == 128 + signal.SIGTERM
    finally:
        server.thaw()
    assert_clean(terminal)


CRASHING = """
import sys
from redbeat_tui.app import ConsoleApp
from redbeat_tui.launch import run_console

def crash(self):
    password_of_somebody = "hunter2-in-a-local"
    raise ValueError("boom \\x1b]52;c;ZXZpbA==\\x07 [/nope] " + self.options.url)

ConsoleApp._tick = crash
sys.exit(run_console(sys.argv[1]))
"""


def test_a_crash_leaves_the_terminal_clean_and_shows_no_secret(
    new_server: object, tmp_path: Path
) -> None:
    assert callable(new_server)
    server = new_server(password="s3cret-of-redis")
    terminal = Terminal([sys.executable, "-c", CRASHING, server.url()], directory=tmp_path)
    try:
        assert terminal.wait() == 1
    finally:
        terminal.close()
    assert_clean(terminal)
    after = terminal.output[terminal.output.rindex(b"\x1b[?1049l") :]
    assert b"ValueError: boom" in after
    assert b"[/nope]" in after
    assert b"Please report this" in after
    assert b"s3cret-of-redis" not in terminal.output
    assert b"hunter2-in-a-local" not in terminal.output
    assert b"\x1b]52" not in terminal.output


def test_a_terminal_that_hangs_up_ends_the_console(console: Open, add: Add) -> None:
    add("daily report")
    terminal = console()
    terminal.wait_for_text("daily report")
    terminal.hang_up()
    assert terminal.wait(10) != 0


def test_suspending_gives_the_terminal_back_and_continuing_takes_it_again(
    console: Open, add: Add, store: ScheduleStore
) -> None:
    add("daily report")
    terminal = console()
    terminal.wait_for_text("daily report")
    terminal.send(signal.SIGTSTP)
    wait_for(lambda: terminal.output.count(b"\x1b[?1049l") == 1, what="the terminal given back")
    terminal.send(signal.SIGCONT)
    wait_for(lambda: terminal.output.count(b"\x1b[?1049h") == 2, what="the terminal taken again")
    terminal.press("q")
    assert terminal.wait() == 0
    assert_clean(terminal)
