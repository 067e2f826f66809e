"""Tests that a running beat and worker recover by themselves from a restart of Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from redbeat_core import RedBeatSchedulerEntry, events
from tests.support.journal import Journal, runs_twice
from tests.support.processes import Processes
from tests.support.server import Server
from tests.support.shop import make_app, ran
from tests.support.waiting import wait_for

LEASE = {"redbeat_lock_timeout": 1}
NAMES = ("milk", "bread", "eggs")
STATICS: dict[str, Any] = {
    "clean": {"task": "shop.record", "schedule": 0.5, "args": ["clean"]},
    "count": {"task": "shop.record", "schedule": 0.5, "args": ["count"]},
}


@pytest.mark.parametrize("how", ["restarted", "killed"])
def test_a_server_that_keeps_its_data_comes_back_and_nothing_is_dispatched_twice(
    how: str, new_server: Callable[..., Server], processes: Processes
) -> None:
    server = new_server(persistent=True)
    processes.url = server.url()
    app = make_app(server.url())
    for name in NAMES:
        RedBeatSchedulerEntry(name, "shop.record", 0.5, [name], app=app).save()
    with server.client() as client:
        journal = Journal(client)
        processes.worker()
        beat = processes.beat(conf=LEASE)
        for _ in range(2):
            before = journal.seq
            for name in NAMES:
                journal.wait_for_runs(name, 2, after=before)
            server.restart(kill=how == "killed")
        before = len(ran(client))
        at = journal.seq
        for name in NAMES:
            journal.wait_for_runs(name, 3, after=at)
        wait_for(lambda: len(ran(client)) > before + 6, what="the worker to go on")

        assert beat.terminate() == 0
        dispatched = {event.data["task_id"] for event in journal.dispatched()}
        done = [run.id for run in ran(client)]
        assert runs_twice(journal.dispatched()) == []
        assert len(done) == len(set(done))
        assert set(done) <= dispatched
    assert "Traceback" not in beat.log
    app.close()


@pytest.mark.parametrize("lock", [LEASE, {"redbeat_lock_key": None}], ids=["lease", "no lease"])
def test_a_server_that_comes_back_empty_gets_the_static_entries_again(
    lock: dict[str, Any], new_server: Callable[..., Server], processes: Processes
) -> None:
    server = new_server()
    processes.url = server.url()
    beat = processes.beat(conf={**lock, "beat_schedule": STATICS})
    with server.client() as client:
        journal = Journal(client)
        for _ in range(2):
            for name in STATICS:
                journal.wait_for_runs(name, 2)
            server.restart()
        for name in STATICS:
            created = journal.wait(events.ENTRY_CREATED, subject=name)
            journal.wait_for_runs(name, 2, after=created.seq)
    assert beat.running
    assert "Traceback" not in beat.log


def test_the_static_entries_come_back_after_a_flush_too(
    server: Server, processes: Processes
) -> None:
    processes.beat(conf={**LEASE, "beat_schedule": STATICS})
    with server.client() as client:
        journal = Journal(client)
        journal.wait_for_runs("clean", 2)
        server.flush()
        journal.wait_for_runs("clean", 2)
        journal.wait_for_runs("count", 2)
