"""Tests the start: permanent problems end beat with one sentence, others make it wait."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from redbeat_core import RedBeatSchedulerEntry
from tests.support.journal import Journal
from tests.support.processes import Process, Processes
from tests.support.server import Server, free_port
from tests.support.shop import make_app

PASSWORD = "correct-horse"
WRONG = "wrong-battery"


def refused(beat: Process, *words: str) -> None:
    """Assert that the beat ends with an error whose one sentence contains *words*."""
    assert beat.wait(30) not in (0, None)
    said = re.findall(r"^(?:\[.*CRITICAL.*?\] )?beat: (.+)", beat.log, re.MULTILINE)
    assert len(said) == 1, beat.log
    for word in words:
        assert word in said[0]
    assert "Traceback" not in beat.log
    assert PASSWORD not in beat.log
    assert WRONG not in beat.log


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("redbeat_lock_timeout", "soon", ["'soon'", "number"]),
        ("redbeat_lock_timeout", -1, ["-1", "number from 1"]),
        ("redbeat_delivery", "twice", ["'twice'", "at-least-once", "at-most-once"]),
        ("redbeat_key_prefix", "", ["''", "not empty"]),
        ("redbeat_redis_url", "http://127.0.0.1", ["http://", "redis://localhost:6379/0"]),
        ("redbeat_redis_options", {"colour": "red"}, ["colour"]),
    ],
)
def test_a_setting_with_a_wrong_value(
    processes: Processes, setting: str, value: Any, words: list[str]
) -> None:
    beat = processes.beat(conf={setting: value}, loglevel="critical")
    refused(beat, setting, *words)


def test_an_address_that_is_none(processes: Processes) -> None:
    address = f"redis://:{PASSWORD}@127.0.0.1:port/0"
    refused(processes.beat(conf={"redbeat_redis_url": address}), "port must be a number")


def test_a_wrong_password_and_none(new_server: Callable[..., Server], processes: Processes) -> None:
    server = new_server(password=PASSWORD)
    address = f"127.0.0.1:{server.port}"
    wrong = processes.beat("wrong", url=f"redis://:{WRONG}@{address}/0")
    none = processes.beat("none", url=f"redis://{address}/0")
    refused(wrong, address, "refused the password")
    refused(none, address, "wants a password")


def test_a_database_that_the_server_does_not_have(server: Server, processes: Processes) -> None:
    refused(processes.beat(url=server.url(99)), server.url(99), "no database of that number")


@pytest.mark.parametrize(
    ("options", "conf", "words"),
    [
        (
            # The default cluster port, 10,000 above the server's, may exceed the highest port.
            {"cluster-enabled": "yes", "databases": "1", "cluster-port": str(free_port())},
            {},
            ["Cluster", "redbeat_key_prefix", "'{redbeat}:'"],
        ),
        (
            {"maxmemory-policy": "allkeys-lru"},
            {"redbeat_key_expiry_check": "raise"},
            ["allkeys-lru", "noeviction", "redbeat_key_expiry_check"],
        ),
    ],
)
def test_a_server_that_cannot_hold_a_schedule(
    new_server: Callable[..., Server],
    processes: Processes,
    options: Mapping[str, str],
    conf: Mapping[str, Any],
    words: list[str],
) -> None:
    server = new_server(options=options)
    refused(processes.beat(url=server.url(), conf=conf), server.url(), *words)


def test_a_server_that_is_away_at_the_start_is_waited_for(
    new_server: Callable[..., Server], processes: Processes
) -> None:
    server = new_server(persistent=True, password=PASSWORD)
    app = make_app(server.url())
    RedBeatSchedulerEntry("patient", "shop.record", 0.5, app=app).save()
    app.close()
    server.stop()
    beat = processes.beat(url=server.url())
    beat.wait_for_log(f"Redis at redis://:\\*\\*\\*@127.0.0.1:{server.port}/0 cannot be reached")
    server.start()
    with server.client() as client:
        Journal(client).wait_for_runs("patient", 2)
    beat.wait_for_log("Redis is back")
    assert beat.log.count("cannot be reached") == 1
    assert "Traceback" not in beat.log
    assert PASSWORD not in beat.log


def test_a_static_entry_with_a_reserved_name_is_left_out_and_the_others_run(
    server: Server, processes: Processes
) -> None:
    entry = {"task": "shop.record", "schedule": 0.5}
    names = ["a name: with/all 'sorts' of \u202e\u00e9\u4e16 \U0001f40d", "plain"]
    static = dict.fromkeys([":reserved", "", *names], entry)
    beat = processes.beat(conf={"beat_schedule": static})
    with server.client() as client:
        for name in names:
            Journal(client).wait_for_runs(name, 2)
        assert not client.exists("redbeat::reserved", "redbeat:")
    assert "':reserved' of beat_schedule is left out: " in beat.log
    assert "starts with ':'" in beat.log
    assert "'' of beat_schedule is left out: " in beat.log
    assert "Traceback" not in beat.log
