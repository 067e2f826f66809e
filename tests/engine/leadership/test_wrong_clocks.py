"""Tests beats on machines with wrong clocks: no run is early, repeated or lost."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.dispatch.failures import BROKER_MOST, RETRY_MOST, RetryBackoff
from redbeat_core.leadership.health import read_health
from redbeat_core.operations import Operations
from redbeat_core.storage.schedule_store import store_for
from tests.support.journal import Journal, pid_of, runs_twice
from tests.support.processes import Processes
from tests.support.server import Server, missing
from tests.support.stepping import due_entry, run
from tests.support.waiting import wait_for

CONF: dict[str, Any] = {"redbeat_lock_timeout": 1}


def shifted(seconds: float) -> dict[str, str]:
    """Return the environment of a process whose clock is ahead by *seconds*."""
    program = shutil.which("faketime")
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if program is None or not found:
        missing("faketime", "apt-get install faketime")
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME": f"{seconds:+}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@pytest.fixture
def journal(client: redis.Redis) -> Journal:
    return Journal(client)


@pytest.mark.parametrize("ahead", [3600.0, -3600.0], ids=["ahead", "behind"])
def test_when_a_beat_with_a_wrong_clock_takes_over_no_time_is_lost_or_doubled(
    app: Celery, processes: Processes, journal: Journal, client: redis.Redis, ahead: float
) -> None:
    RedBeatSchedulerEntry("stock", "shop.record", 0.5, app=app).save()
    right = processes.beat("right", conf=CONF)
    right.wait_for_log("Acquired lock")
    wrong = processes.beat("wrong", conf=CONF, environment=shifted(ahead))
    wrong.wait_for_log("Standing by")
    wrong.wait_for_log(f"clock of this machine is 3[56].* {'ahead of' if ahead > 0 else 'behind'}")
    journal.wait_for_runs("stock", 2)
    right.kill()
    died_at = journal.seq
    change = journal.wait(
        events.LEADER_CHANGED, after=died_at, where=lambda event: pid_of(event) == wrong.pid
    )
    journal.wait_for_runs("stock", 4, after=change.seq)
    # And back to the right time.
    third = processes.beat("third", conf=CONF)
    third.wait_for_log("Standing by")
    back_at = journal.seq
    wrong.terminate()
    journal.wait(events.LEADER_CHANGED, after=back_at, where=lambda e: pid_of(e) == third.pid)
    journal.wait_for_runs("stock", 4, after=journal.seq)
    third.terminate()

    runs = journal.dispatched("stock")
    assert runs_twice(runs) == []
    # The first run after the crash replaces those of the second without a leader.
    accounted = {event.data["nominal"]: 1 for event in runs}
    for event in journal.events(events.RUN_MISSED, events.RUN_SKIPPED, subject="stock"):
        accounted[event.data["nominal"]] = event.data["count"]
    first = min(accounted)
    end = max(accounted)
    times = [first + 0.5 * number for number in range(round((end - first) * 2) + 1)]
    assert sum(accounted.values()) == len(times)
    assert end < store_for(app).server_time() + 1
    for event in runs:
        # The error of the measured skew depends on how fast Redis answers.
        assert event.data["nominal"] < event.time.timestamp() + 1
        assert event.data["lateness"] < 60


def test_a_wrong_clock_is_warned_of_once_and_shown(
    app: Celery, processes: Processes, client: redis.Redis
) -> None:
    beat = processes.beat(conf=CONF, environment=shifted(90))
    beat.wait_for_log("Acquired lock")
    warning = "clock of this machine is"
    beat.wait_for_log(warning)
    store = store_for(app)

    def reported() -> Any:
        (known,) = read_health(store).beats or (None,)
        return known if known is not None and known.skew is not None else None

    known = wait_for(reported, what="the skew in the heartbeat")
    assert known.skew == pytest.approx(90, abs=1)
    assert [beat.token for beat in read_health(store).wrong_clocks] == [known.token]
    seen = set()

    def heartbeats() -> bool:
        seen.add(reported().at)
        return len(seen) > 3

    wait_for(heartbeats, what="more heartbeats")
    assert beat.log.count(warning) == 1


def test_what_a_beat_with_a_wrong_clock_writes_is_of_the_right_time(
    app: Celery, processes: Processes, journal: Journal, client: redis.Redis
) -> None:
    entry = {"task": "shop.record", "schedule": 3600.0}
    before = store_for(app).server_time()
    beat = processes.beat(
        conf={**CONF, "beat_schedule": {"static": entry}}, environment=shifted(7200)
    )
    beat.wait_for_log("Acquired lock")
    journal.wait(events.ENTRY_CREATED, subject="static")
    now = store_for(app).server_time()
    # A new static entry counts from its creation.
    due = client.zscore("redbeat::schedule", "redbeat:static")
    assert due is not None
    assert before + 3599 < due < now + 3601
    Operations(store_for(app), app=app).trigger("static", count_run=True)
    (run,) = [journal.wait_for_runs("static")]
    assert run.data["lateness"] < 60
    assert before - 1 < run.time.timestamp() < now + 60
    loaded = RedBeatSchedulerEntry.from_key("redbeat:static", app=app)
    assert loaded.last_run_at is not None
    assert before - 1 < loaded.last_run_at.timestamp() < now + 60


def test_a_clock_that_is_set_back_does_not_lengthen_the_wait_for_the_broker(
    app: Celery,
    make_scheduler: Callable[..., RedBeatScheduler],
    new_server: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = new_server()
    scheduler = make_scheduler(broker_url=broker.url())
    run(scheduler)
    right = scheduler.clock.local
    monkeypatch.setattr(scheduler.clock, "local", lambda: right() + 3600)
    broker.stop()
    due_entry(app)
    scheduler._step()
    broker.start()
    monkeypatch.setattr(scheduler.clock, "local", right)
    due_entry(app)
    until = time.monotonic() + 5
    while time.monotonic() < until and not broker.client().llen("shop"):
        scheduler._step()
        time.sleep(0.1)
    assert broker.client().llen("shop")


@pytest.mark.parametrize("back", [0.0, 0.5, 3600.0])
def test_a_clock_that_is_set_back_ends_waits_and_a_small_step_does_not(back: float) -> None:
    now = [1.7e9]
    postponed = RetryBackoff(lambda: now[0])
    for _ in range(10):
        postponed.failed("orders", "as it was")
        postponed.broker_failed()
    now[0] -= back
    small = back < 1
    assert postponed.is_waiting("orders") is small
    assert bool(postponed.held_back()) is small
    assert postponed.broker_waits(now[0]) is small
    now[0] += back + BROKER_MOST
    assert not postponed.broker_waits(now[0])
    assert postponed.is_waiting("orders")
    now[0] += RETRY_MOST
    assert not postponed.is_waiting("orders")
