"""Tests two beats on one schedule: exactly one leads, whatever happens to the leader."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatSchedulerEntry, events
from redbeat_core.events import Event
from redbeat_core.operations import Operations
from redbeat_core.storage.schedule_store import store_for
from tests.support.journal import Journal, pid_of, runs_twice, token_of
from tests.support.processes import Process, Processes, alive, descendants
from tests.support.waiting import wait_for

LEASE = 1
CONF: dict[str, Any] = {"redbeat_lock_timeout": LEASE}


@pytest.fixture
def journal(client: redis.Redis) -> Journal:
    return Journal(client)


@pytest.fixture
def entry(app: Celery) -> str:
    """Create an entry that runs twice a second; return its name."""
    RedBeatSchedulerEntry("stock", "shop.record", 0.5, app=app).save()
    return "stock"


def two_beats(processes: Processes, journal: Journal) -> tuple[Process, Process]:
    """Start a beat that leads and one that stands by."""
    leader = processes.beat("one", conf=CONF)
    leader.wait_for_log("Acquired lock")
    standby = processes.beat("two", conf=CONF)
    standby.wait_for_log("Standing by")
    assert {pid_of(event) for event in journal.dispatched()} <= {leader.pid}
    return leader, standby


def acquired(journal: Journal, by: Process, after: int) -> Event:
    """Wait for the event that *by* has become the leader, and return it."""
    return journal.wait(
        events.LEADER_CHANGED,
        after=after,
        where=lambda event: event.data["reason"] == "acquired" and pid_of(event) == by.pid,
    )


def in_the_broker(client: redis.Redis) -> list[str]:
    """Return the task ids of all messages, sorted: no worker consumes them."""
    messages = client.lrange("shop", 0, -1)
    return sorted(json.loads(message)["headers"]["id"] for message in messages)


def ids_of(journal: Journal) -> list[str]:
    """Return the task ids of all dispatched runs, sorted."""
    return sorted(run.data["task_id"] for run in journal.dispatched())


def test_after_a_crash_of_the_leader_the_standby_dispatches_when_the_lease_is_over(
    processes: Processes, journal: Journal, entry: str, client: redis.Redis
) -> None:
    leader, standby = two_beats(processes, journal)
    journal.wait_for_runs(entry, 2)
    leader.kill()
    died_at = journal.seq
    change = acquired(journal, standby, died_at)
    first = journal.wait_for_runs(entry, after=died_at)
    journal.wait_for_runs(entry, 3, after=change.seq)
    assert change.seq < first.seq
    assert {pid_of(run) for run in journal.dispatched(after=died_at)} == {standby.pid}
    assert runs_twice(journal.dispatched()) == []
    standby.kill()
    assert in_the_broker(client) == ids_of(journal)
    print(f"led {(change.time - journal.events()[died_at - 1].time).total_seconds():.2f} s after")


def test_a_leader_that_is_told_to_end_hands_over_at_once(
    processes: Processes, journal: Journal, entry: str
) -> None:
    leader, standby = two_beats(processes, journal)
    journal.wait_for_runs(entry, 2)
    assert leader.terminate() == 0
    release = journal.wait(
        events.LEADER_CHANGED, where=lambda event: event.data["reason"] == "released"
    )
    assert pid_of(release) == leader.pid
    change = acquired(journal, standby, release.seq)
    assert change.seq == release.seq + 1
    print(f"handed over in {(change.time - release.time).total_seconds() * 1000:.0f} ms")
    journal.wait_for_runs(entry, 3, after=change.seq)
    assert [run for run in journal.dispatched(after=release.seq) if pid_of(run) == leader.pid] == []
    assert runs_twice(journal.dispatched()) == []


def test_a_leader_that_slept_past_its_lease_returns_to_standby_and_sends_nothing(
    processes: Processes, journal: Journal, entry: str
) -> None:
    leader, standby = two_beats(processes, journal)
    journal.wait_for_runs(entry, 2)
    leader.freeze()
    change = acquired(journal, standby, 0)
    journal.wait_for_runs(entry, 3, after=change.seq)
    leader.thaw()
    leader.wait_for_log("No longer leading")
    leader.wait_for_log("Standing by")
    journal.wait_for_runs(entry, 4, after=journal.seq)
    assert leader.running
    since = journal.dispatched(after=change.seq)
    assert {pid_of(run) for run in since} == {standby.pid}
    assert [change] == journal.events(events.LEADER_CHANGED, after=change.seq - 1)

    # It really stands by: it becomes the leader again when the other one ends.
    standby.kill()
    again = acquired(journal, leader, change.seq)
    journal.wait_for_runs(entry, 2, after=again.seq)
    assert runs_twice(journal.dispatched()) == []


def test_two_beats_without_a_lease_still_dispatch_each_time_once(
    processes: Processes, journal: Journal, app: Celery, client: redis.Redis
) -> None:
    names = [f"entry {number}" for number in range(20)]
    for name in names:
        RedBeatSchedulerEntry(name, "shop.record", 0.2, app=app).save()
    beats = [processes.beat(name, conf={"redbeat_lock_key": None}) for name in ("one", "two")]

    def both_ran() -> bool:
        return {pid_of(run) for run in journal.dispatched()} == {beat.pid for beat in beats}

    wait_for(both_ran, what="runs by both")
    both = journal.seq
    for name in names:
        journal.wait_for_runs(name, 5, after=both)
    for beat in beats:
        beat.kill()
    assert runs_twice(journal.dispatched()) == []
    assert in_the_broker(client) == ids_of(journal)


def test_a_beat_inside_a_worker_runs_and_hands_over_when_the_worker_ends(
    processes: Processes, journal: Journal, entry: str, tmp_path: Path
) -> None:
    # A worker's `-S` has another meaning.
    words = ["-B", "--scheduler", "redbeat_core.RedBeatScheduler", "-s", str(tmp_path / "shelve")]
    worker = processes.worker("embedded", pool="prefork", conf=CONF, words=words)
    succeeded = journal.wait(events.RUN_SUCCEEDED, subject=entry, count=2)
    embedded = token_of(journal.dispatched(entry)[0])
    assert int(embedded.split(":")[1]) in descendants(worker.pid)
    standby = processes.beat("standby", conf=CONF)
    standby.wait_for_log("Standing by")
    family = descendants(worker.pid)
    worker.terminate()
    release = journal.wait(
        events.LEADER_CHANGED,
        after=succeeded.seq,
        where=lambda event: event.data["reason"] == "released",
    )
    assert token_of(release) == embedded
    change = acquired(journal, standby, release.seq)
    journal.wait_for_runs(entry, 2, after=change.seq)
    wait_for(lambda: not [pid for pid in family if alive(pid)], what="the worker's children's end")
    assert runs_twice(journal.dispatched()) == []


def test_a_leader_that_is_told_to_end_begins_no_more_of_its_batch(
    processes: Processes, journal: Journal, app: Celery, client: redis.Redis
) -> None:
    names = [f"entry {number}" for number in range(300)]
    for name in names:
        # With an expiry each message differs, so each is made without a template.
        options = {"expires": 3600}
        RedBeatSchedulerEntry(name, "shop.record", 3600.0, options=options, app=app).save()
    leader, standby = two_beats(processes, journal)
    at = 1000.0
    pipe = client.pipeline()
    for name in names:
        pipe.hset(f"redbeat:{name}", "due", repr(at))
        pipe.zadd("redbeat::schedule", {f"redbeat:{name}": at})
    pipe.execute()
    Operations(store_for(app), app=app).trigger(names[0])
    leader.send(signal.SIGTERM)
    assert leader.wait() == 0
    wait_for(lambda: client.llen("shop") >= 301, what="all messages")
    standby.terminate()
    sent = in_the_broker(client)
    assert len(sent) == len(set(sent)) == 301
    assert sent == ids_of(journal)
