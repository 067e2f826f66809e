"""Tests that a change by another process takes effect at once, during any wait."""

from __future__ import annotations

import statistics

import redis
from celery import Celery

from redbeat_core import RedBeatSchedulerEntry, events
from redbeat_core.events import Event
from tests.support.journal import Journal
from tests.support.processes import Processes

#: The program of the other process; its argument is the operation.
SCRIPT = """
import sys
from redbeat_core import RedBeatSchedulerEntry
from redbeat_core.operations import Operations
from redbeat_core.storage.schedule_store import store_for
from celery.schedules import schedule
from tests.support.shop import make_app

url, verb, *names = sys.argv[1:]
app = make_app(url)
operations = Operations(store_for(app), app=app, actor="somebody@elsewhere")
for name in names:
    if verb == "create":
        RedBeatSchedulerEntry(name, "shop.record", 0.5, [name], app=app).save()
    elif verb.startswith("every"):
        operations.edit_schedule(name, schedule(float(verb.removeprefix("every-"))))
    else:
        getattr(operations, verb)(name)
"""
NAMES = [f"entry {number}" for number in range(5)]
#: An entry that runs often: the clock of these tests. Due entries are dispatched in the order of
#: their due times, so a run that follows a change at once comes before the next runs of this entry.
CLOCK = "clock"


def test_each_verb_takes_effect_at_once(
    app: Celery, client: redis.Redis, processes: Processes
) -> None:
    RedBeatSchedulerEntry(CLOCK, "shop.record", 1.0, app=app).save()
    journal = Journal(client)
    beat = processes.beat(max_interval=300)
    journal.wait_for_runs(CLOCK)

    def other_process(verb: str) -> None:
        words = ["-c", SCRIPT, processes.url, verb, *NAMES]
        script = processes.python(f"{verb}-script", words)
        assert script.wait(30) == 0, script.log

    def effects(verb: str, type_: str, after: int = 0) -> list[tuple[Event, Event]]:
        """Return for each entry the event of the operation, and the first run after it."""
        found = []
        for name in NAMES:
            asked = journal.wait(type_, subject=name, after=after)
            found.append((asked, journal.wait_for_runs(name, after=asked.seq)))
        late = [(run.time - asked.time).total_seconds() for asked, run in found]
        times = ", ".join(f"{seconds * 1000:.0f}" for seconds in late)
        print(f"{verb}: run after {times} ms (median {statistics.median(late) * 1000:.0f})")
        return found

    def ticks(asked: Event, run: Event) -> int:
        """Return how often the clock entry ran between the two events."""
        return len([tick for tick in journal.dispatched(CLOCK, asked.seq) if tick.seq < run.seq])

    def nothing_after(type_: str) -> None:
        journal.wait_for_runs(CLOCK, 2, after=journal.seq)
        for name in NAMES:
            asked = journal.wait(type_, subject=name)
            assert journal.dispatched(name, asked.seq) == []

    # Due half a second later; one more tick may have begun before the event was written.
    other_process("create")
    for asked, run in effects("create", events.ENTRY_CREATED):
        assert ticks(asked, run) <= 2

    other_process("every-3600")
    nothing_after(events.ENTRY_UPDATED)
    edited = journal.seq
    other_process("every-0.5")
    for asked, run in effects("edit", events.ENTRY_UPDATED, edited):
        assert ticks(asked, run) <= 2

    other_process("pause")
    nothing_after(events.ENTRY_PAUSED)

    # A request runs a paused entry too, and at once.
    other_process("trigger")
    for asked, run in effects("trigger", events.RUN_REQUESTED):
        assert run.data["trigger"] == asked.data["trigger"]
        assert ticks(asked, run) <= 1

    other_process("resume")
    for asked, run in effects("resume", events.ENTRY_RESUMED):
        assert run.data["trigger"] is None
        assert ticks(asked, run) <= 2

    other_process("delete")
    nothing_after(events.ENTRY_DELETED)
    assert beat.running
    assert "Traceback" not in beat.log


def test_a_standby_that_is_told_to_end_does_not_finish_its_wait_first(
    app: Celery, client: redis.Redis, processes: Processes
) -> None:
    processes.beat("leader", max_interval=300).wait_for_log("Acquired lock")
    standby = processes.beat("standby", max_interval=300)
    standby.wait_for_log("Standing by")
    assert standby.terminate() == 0
