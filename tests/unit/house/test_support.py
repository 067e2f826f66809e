"""What the other tests stand on: servers and processes that do what they are told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest
import redis

from tests.support.processes import Processes, alive
from tests.support.server import Server
from tests.support.waiting import wait_for


def test_the_server_is_empty_at_the_start_of_each_test(any_server: Server) -> None:
    with any_server.client() as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_a_persistent_server_keeps_its_data_when_it_is_killed(
    new_server: Callable[..., Server],
) -> None:
    server = new_server(persistent=True)
    with server.client() as client:
        client.set("key", "value")
    port = server.port
    server.restart(kill=True)
    assert server.port == port
    with server.client() as client:
        assert client.get("key") == "value"


def test_a_server_with_a_password_asks_for_it(new_server: Callable[..., Server]) -> None:
    server = new_server(password="open sesame")
    with server.client() as client:
        assert client.ping()
    with redis.Redis(port=server.port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_a_closed_server_leaves_neither_process_nor_files() -> None:
    with Server() as server:
        pid, directory = server.pid, server._directory
    assert not alive(pid)
    assert not directory.exists()


def test_a_process_ends_with_all_that_it_started(processes: Processes) -> None:
    parent = processes.python(
        "parent",
        # In one write each: two processes share the file.
        ["-c", "import os, time; os.write(1, b'%d\\n' % os.fork()); time.sleep(600)"],
    )
    parent.wait_for_log(r"[1-9]\d*")
    pids = [int(line) for line in parent.log.split() if line != "0"]
    assert all(map(alive, pids))
    parent.close()
    wait_for(lambda: not any(map(alive, pids)), what="the child's end")


def test_the_programs_under_test_see_no_settings_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, processes: Processes
) -> None:
    monkeypatch.setenv("REDBEAT_REDIS_URL", "redis://elsewhere")
    child = processes.python("child", ["-c", "import os; print(dict(os.environ))"])
    assert child.wait() == 0
    assert "elsewhere" not in child.log
    assert os.environ["REDBEAT_REDIS_URL"]


def test_a_server_whose_port_was_taken_meanwhile_takes_another(server: Server) -> None:
    rival = Server()
    rival.port = server.port
    with rival:
        assert rival.port != server.port
        assert rival.running


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of this system has no such thing")
def test_killed_tests_leave_no_processes(processes: Processes) -> None:
    code = """
import pathlib, time
from tests.support.server import Server
from tests.support.processes import Processes
server = Server().start()
child = Processes("", pathlib.Path.cwd()).python("child", ["-c", "import time; time.sleep(600)"])
print(server.pid, child.pid, flush=True)
time.sleep(600)
"""
    tests = processes.python(
        "tests", ["-c", code], environment={"TMPDIR": str(processes.directory)}
    )
    pids = list(map(int, tests.wait_for_log(r"\d+ \d+").split()))
    assert all(map(alive, pids))
    tests.kill()
    wait_for(lambda: not any(map(alive, pids)), what=f"the end of {pids}")
