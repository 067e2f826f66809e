"""The console adapts to the terminal: no colours, no mouse, any size."""

from __future__ import annotations

import re
from functools import partial

from tests.support.terminal import Terminal
from tests.support.waiting import never, wait_for

from .conftest import Add, Open

#: Foreground and background colours; 39 and 49 are the terminal's own.
COLOURS = re.compile(rb"\x1b\[(?:[0-9]+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9]+)*m")


def test_no_color_is_honoured_and_the_cursor_is_seen_all_the_same(console: Open, add: Add) -> None:
    add("daily report")
    terminal = console(environment={"NO_COLOR": "1"})
    terminal.wait_for_text("daily report")
    terminal.press("d")
    terminal.wait_for_text("cannot be undone")
    terminal.press("n")
    assert COLOURS.search(terminal.output) is None
    assert re.search(rb"\x1b\[(?:[0-9]+;)*7(?:;[0-9]+)*m[^\x1b]*daily report", terminal.output)


def test_with_the_ansi_theme_the_colours_are_the_terminals_own(
    console: Open, url: str, add: Add
) -> None:
    add("daily report")
    terminal = console("--url", url, "--theme", "ansi", environment={"COLORTERM": "truecolor"})
    terminal.wait_for_text("daily report")
    assert b"38;2;" not in terminal.output
    assert b"48;2;" not in terminal.output


def test_without_the_mouse_the_terminal_keeps_it(console: Open, url: str, add: Add) -> None:
    add("daily report")
    terminal = console("--url", url, "--no-mouse")
    terminal.wait_for_text("daily report")
    assert b"\x1b[?1000h" not in terminal.output
    assert b"\x1b[?1003h" not in terminal.output


def grown(terminal: Terminal, drawn: int) -> bool:
    return len(terminal.output) > drawn + 20


def test_a_terminal_of_any_size_is_drawn(console: Open, add: Add) -> None:
    for name in ("daily report", "weekly report"):
        add(name)
    terminal = console(columns=80, lines=24)
    terminal.wait_for_text("weekly report")
    for columns, lines in ((40, 10), (20, 5), (3, 2), (200, 60), (80, 24)):
        drawn = len(terminal.output)
        terminal.resize(columns, lines)
        wait_for(partial(grown, terminal, drawn), what="a new drawing")
    terminal.wait_for_text("q quit")
    terminal.wait_for_text("weekly report")


def test_an_idle_console_writes_little_to_the_terminal(console: Open, add: Add) -> None:
    for number in range(50):
        add(f"entry {number:02}", every=86400 * 30)
    terminal = console(columns=80, lines=24)
    terminal.wait_for_text("● live")
    terminal.wait_for_text("50 entries")
    never(lambda: False, 2)
    before = len(terminal.output)
    never(lambda: False, 5)
    assert (len(terminal.output) - before) / 5 < 1500, "bytes a second"
