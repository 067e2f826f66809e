"""Tests celery-redbeat's beat and ours in turn on one database: each run is made exactly once."""

from __future__ import annotations

import base64
import json
import re
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import redis
from celery import Celery
from redbeat import RedBeatSchedulerEntry as OriginalEntry
from redbeat.schedules import rrule as original_rrule

from redbeat_core import RedBeatSchedulerEntry, events
from redbeat_core.schedules import rrule
from redbeat_core.storage.schedule_store import store_for
from tests.support.journal import Journal
from tests.support.processes import Process, Processes
from tests.support.shop import make_app
from tests.support.waiting import wait_for

#: Seconds of both sides' lock: short, since the original polls it once in its loop interval.
CONF: dict[str, Any] = {
    "redbeat_lock_timeout": 2,
    "timezone": "UTC",
    "beat_schedule": {"static": {"task": "shop.record", "schedule": 1.0, "args": ["static"]}},
}
ORIGINAL: dict[str, Any] = {"conf": {**CONF, "beat_max_loop_interval": 0.2}}
#: The rules began recently and end soon: the original counts occurrences from the first one.
START = datetime.now(UTC).replace(microsecond=0)
EVERY = 2
UNTIL = START + timedelta(minutes=15)
SENT = re.compile(r"Sending due task (\S+) \(shop\.record\)")


@pytest.fixture
def original_app(url: str) -> Iterator[Celery]:
    """An app for celery-redbeat's classes, which store their configuration on the app."""
    app = make_app(url)
    yield app
    app.close()


@pytest.fixture
def names(app: Celery, original_app: Celery) -> list[str]:
    """Create entries by the API of either side; the app has a static one too."""
    every_two_seconds: dict[str, Any] = {"dtstart": START, "until": UNTIL, "interval": EVERY}
    OriginalEntry("theirs", "shop.record", 1.0, ["theirs"], app=original_app).save()
    OriginalEntry(
        "theirs-rrule",
        "shop.record",
        original_rrule("SECONDLY", app=original_app, **every_two_seconds),
        ["theirs-rrule"],
        app=original_app,
    ).save()
    RedBeatSchedulerEntry("ours", "shop.record", 1.0, ["ours"], app=app).save()
    RedBeatSchedulerEntry(
        "ours-rrule",
        "shop.record",
        rrule("SECONDLY", app=app, **every_two_seconds),
        ["ours-rrule"],
        app=app,
    ).save()
    return ["theirs", "theirs-rrule", "ours", "ours-rrule", "static"]


def messages(client: redis.Redis) -> Counter[str]:
    """Return the number of messages of each entry in the broker: no worker consumes them."""
    found: Counter[str] = Counter()
    for text in client.lrange("shop", 0, -1):
        args, _, _ = json.loads(base64.b64decode(json.loads(text)["body"]))
        found[args[0]] += 1
    return found


@dataclass(frozen=True, order=True)
class Run:
    """One occurrence of a rule that a beat has run.

    :ivar slot: the number of the occurrence.
    :ivar missed: how many later ones it stood for; None: the original does not say.
    """

    slot: int
    missed: int | None


def runs_of(name: str, original: list[Process], journal: Journal) -> list[Run]:
    """Return the occurrences of the rule that a beat has run, in order.

    Ours says the nominal time; the original, which only says when it sent, is never early and
    runs once for all that is overdue.
    """

    def slot(moment: float) -> int:
        return int((moment - START.timestamp() + 0.01) // EVERY)

    runs = [Run(slot(run.data["nominal"]), run.data["missed"]) for run in journal.dispatched(name)]
    for process in original:
        for line in process.log.splitlines():
            sent = SENT.search(line)
            if sent and sent[1] == name:
                moment = datetime.strptime(line[1:24], "%Y-%m-%d %H:%M:%S,%f").replace(tzinfo=UTC)
                runs.append(Run(slot(moment.timestamp()), None))
    return sorted(runs, key=lambda run: run.slot)


def test_the_two_beats_take_turns_without_a_lost_or_doubled_run(
    app: Celery, names: list[str], client: redis.Redis, processes: Processes
) -> None:
    store, journal = store_for(app), Journal(client)
    definitions = {name: client.hget(f"redbeat:{name}", "definition") for name in names[:-1]}

    def counts() -> dict[str, int]:
        metas = {name: json.loads(client.hget(f"redbeat:{name}", "meta") or "{}") for name in names}
        return {name: meta.get("total_run_count", 0) for name, meta in metas.items()}

    def tally() -> list[str]:
        """Return entries whose number of runs differs between events, broker and run count."""
        by_ours = Counter(run.subject for run in journal.dispatched())
        by_original = Counter(name for beat in beats for name in SENT.findall(beat.log))
        broker, counted = messages(client), counts()
        return [n for n in names if not broker[n] == by_ours[n] + by_original[n] == counted[n]]

    def end_between_runs(beat: Process, how: signal.Signals) -> None:
        """End *beat* while no run is in progress: the original loses a run during which it ends."""
        while True:
            beat.freeze()
            if not tally():
                break
            beat.thaw()
        beat.send(how)
        beat.thaw()
        beat.wait()

    def everything_runs(times: int = 2) -> None:
        """Wait until the leader has run every entry some more times, continuing its counts."""
        before = counts()
        wait_for(
            lambda: all(counts()[name] >= before[name] + times for name in names),
            what=f"{times} more runs of each, from {before}",
        )

    # The original leads; ours stands by, and becomes the leader when the original ends.
    beats = [processes.original_beat("original-1", **ORIGINAL)]
    beats[0].wait_for_log(SENT.pattern)
    everything_runs()
    ours = processes.beat("ours-1", conf=CONF)
    ours.wait_for_log("Standing by")
    assert journal.dispatched() == []
    end_between_runs(beats[0], signal.SIGTERM)
    ours.wait_for_log("Acquired lock")
    everything_runs()

    # The other way round: the original waits for the lock, and acquires it when ours ends.
    beats.append(processes.original_beat("original-2", **ORIGINAL))
    beats[1].wait_for_log("beat: Starting")
    everything_runs()
    ours.terminate()
    beats[1].wait_for_log("Acquired lock")
    everything_runs()

    # The original is killed: ours becomes the leader when the lock expires.
    ours = processes.beat("ours-2", conf=CONF)
    ours.wait_for_log("Standing by")
    end_between_runs(beats[1], signal.SIGKILL)
    ours.wait_for_log("Acquired lock")
    everything_runs()

    # For a while no beat runs, then the original.
    ours.terminate()
    beats.append(processes.original_beat("original-3", **ORIGINAL))
    everything_runs()
    end_between_runs(beats[2], signal.SIGTERM)

    # Each run is in the broker once, and in the entry's run count once.
    assert tally() == []
    for name in names:
        assert len(journal.dispatched(name)) >= 4
    for name in ("theirs-rrule", "ours-rrule"):
        runs = runs_of(name, beats, journal)
        print(f"{name}: occurrences {[run.slot for run in runs]}")
        for run, following in pairwise(runs):
            assert following.slot > run.slot, f"{name} ran twice"
            if following.missed is not None:
                # Ours continues exactly after the previous run, whichever beat made it.
                assert following.slot == run.slot + 1 + (run.missed or 0)

    # Neither side rewrote an entry or logged an error.
    for name, definition in definitions.items():
        assert client.hget(f"redbeat:{name}", "definition") == definition
    assert journal.events(events.ENTRY_INVALID) == []
    assert set(store.scores()) >= set(names)
    assert not [beat.name for beat in processes.started if "Traceback" in beat.log]
