"""The demo with its console, on a real terminal."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import alive, descendants
from tests.support.terminal import Terminal
from tests.support.waiting import wait_for


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(
        [sys.executable, "-m", "redbeat_tui", "demo"],
        directory=tmp_path,
        environment={"TMPDIR": str(tmp_path)},
    )
    yield terminal
    terminal.close()


def test_the_demo_shows_a_live_table_and_q_ends_everything(demo: Terminal, tmp_path: Path) -> None:
    demo.wait_for_text("live")
    demo.wait_for_text("ping payment provider")
    demo.wait_for_text("paused")
    demo.wait_for_text("invalid")
    demo.wait_for_text("failed")
    pids = {demo.pid, *descendants(demo.pid)}
    assert len(pids) >= 5
    demo.press("q")
    assert demo.wait() == 0
    assert not any(map(alive, pids))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "end", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL]
)
def test_a_signal_ends_the_console_and_everything_with_it(
    demo: Terminal, tmp_path: Path, end: signal.Signals
) -> None:
    demo.wait_for_text("ping payment provider")
    pids = {demo.pid, *descendants(demo.pid)}
    demo.send(end)
    demo.wait()
    wait_for(lambda: not any(map(alive, pids)), what=f"the end of {pids}")
    wait_for(lambda: list(tmp_path.iterdir()) == [], what="the removal of the files")
    if end not in (signal.SIGKILL, signal.SIGQUIT):
        assert demo.output.rindex(b"\x1b[?1049l") > demo.output.rindex(b"\x1b[?1049h")


def test_a_terminal_that_goes_away_ends_everything(demo: Terminal, tmp_path: Path) -> None:
    demo.wait_for_text("ping payment provider")
    pids = {demo.pid, *descendants(demo.pid)}
    demo.hang_up()
    wait_for(lambda: not any(map(alive, pids)), what=f"the end of {pids}")
    assert list(tmp_path.iterdir()) == []
