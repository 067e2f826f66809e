"""A server that does not answer, answers again, or can never be used, seen at a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable

import redis
from celery import Celery

from redbeat_core.operations import Operations
from redbeat_core.settings.keys import Keys
from redbeat_core.storage.schedule_store import ScheduleStore
from tests.support.processes import Processes
from tests.support.server import Server, free_port

from .conftest import Add, Open

NewServer = Callable[..., Server]


def test_a_console_that_is_opened_before_redis_starts_recovers_by_itself(
    console: Open, new_server: NewServer
) -> None:
    server = new_server()
    server.stop()
    terminal = console("--url", server.url())
    terminal.wait_for_text("○ disconnected")
    terminal.wait_for_text("cannot be reached")
    server.start()
    terminal.wait_for_text("● live")
    terminal.wait_for_text("No entries under the key prefix redbeat:")


def test_redis_goes_away_and_comes_back_under_the_console(
    console: Open, add: Add, server: Server, store: ScheduleStore, app: Celery
) -> None:
    add("daily report")
    terminal = console()
    terminal.wait_for_text("daily report")
    terminal.wait_for_text("● live")
    server.stop()
    terminal.wait_for_text("○ disconnected")
    # The last rows stay on the screen, below a header that says that they are old.
    assert "daily report" in terminal.text
    terminal.press("p")
    terminal.wait_for_text("It will not run by its schedule")
    terminal.press("\r")
    terminal.wait_for_text("cannot be reached (")
    server.start()
    terminal.wait_for_text("● live")
    terminal.wait_for_text("No entries under")
    add("weekly report")
    terminal.wait_for_text("weekly report")


def test_a_wrong_password_is_a_sentence_and_no_screen(console: Open, new_server: NewServer) -> None:
    server = new_server(password="right")
    terminal = console("--url", server.url().replace("right", "wr0ng-passw0rd"))
    assert terminal.wait() == 1
    assert "refused the password" in " ".join(terminal.text.split())
    assert b"\x1b[?1049h" not in terminal.output
    assert b"wr0ng-passw0rd" not in terminal.output
    assert b"Traceback" not in terminal.output


def test_a_cluster_without_a_hash_tag_is_a_sentence_and_no_screen(
    console: Open, new_server: NewServer
) -> None:
    server = new_server(options={"cluster-enabled": "yes"})
    terminal = console("--url", server.url())
    assert terminal.wait() == 1
    text = " ".join(terminal.text.split())
    assert "is a Cluster" in text
    assert "{redbeat}:" in text
    assert b"\x1b[?1049h" not in terminal.output


def test_the_console_opens_also_when_the_server_does_not_answer(
    console: Open, server: Server, add: Add
) -> None:
    add("daily report")
    server.freeze()
    try:
        terminal = console()
        terminal.wait_for_text("connecting")
        terminal.press("?")
        terminal.wait_for_text("Run the entry once now")
        terminal.press("\x1b")
    finally:
        server.thaw()
    terminal.wait_for_text("daily report")


def test_a_refused_port_is_named_without_the_password(console: Open) -> None:
    url = f"redis://:s3cret@127.0.0.1:{free_port()}/0"
    terminal = console("--url", url, columns=140)
    terminal.wait_for_text("○ disconnected")
    terminal.wait_for_text("cannot be reached")
    terminal.press("q")
    assert terminal.wait() == 0
    assert b"s3cret" not in terminal.output


def test_the_header_says_who_leads_and_who_stands_by(
    console: Open, add: Add, processes: Processes
) -> None:
    add("daily report")
    terminal = console()
    terminal.wait_for_text("▲ no leader")
    first = processes.beat("first")
    terminal.wait_for_text(f":{first.pid}")
    assert "leader" in terminal.text
    processes.beat("second")
    terminal.wait_for_text("+1 standby")
    first.kill()
    terminal.wait_for_text("no standby")


def test_a_foreign_leader_is_called_by_its_name(
    console: Open, add: Add, processes: Processes, client: redis.Redis
) -> None:
    add("daily report")
    processes.original_beat()
    terminal = console()
    terminal.wait_for_text("leader celery-redbeat")
    # It emits no events: the reconciling scan finds its changes.
    key = Keys().entry("added by hand")
    client.hset(key, "definition", str(client.hget(Keys().entry("daily report"), "definition")))
    client.zadd(Keys().schedule, {key: time.time() + 60})
    terminal.wait_for_text("added by hand")


def test_many_changes_at_once_leave_the_console_usable(
    console: Open, add: Add, app: Celery, store: ScheduleStore
) -> None:
    for number in range(300):
        add(f"entry {number:03}")
    terminal = console()
    terminal.wait_for_text("300 entries")
    operations = Operations(store, app=app)
    for number in range(300):
        operations.pause(f"entry {number:03}")
    terminal.wait_for_text("300 paused")
    terminal.press("q")
    assert terminal.wait(5) == 0
