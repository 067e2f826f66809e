"""Entries that cannot run harm nobody: reported once, left untouched, in nobody's way."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.entries.view import decode_record
from redbeat_core.storage.schedule_store import store_for
from tests.support.journal import Journal, runs_twice
from tests.support.processes import Processes
from tests.support.server import Server
from tests.support.stepping import due_entry, queued, run

PREFIX = b"redbeat:"
SCHEDULE = b"redbeat::schedule"
#: The entry that Celery itself puts into every schedule.
OWN = "celery.backend_cleanup"
SECOND = {"__type__": "interval", "every": 1.0, "relative": False}
#: The crontab that celery-redbeat's own documentation shows, and dies of.
DOCUMENTED = {
    "__type__": "crontab",
    "minute": "*/5",
    "hour": "*",
    "day_of_week": "*",
    "day_of_month": "*",
    "month_of_year": "[1-12]",
}


def text(name: str, /, **changes: Any) -> bytes:
    """A good definition with *changes*; None takes a member away."""
    whole: dict[str, Any] = {"name": name, "task": "shop.record", "args": [], "kwargs": {}}
    whole |= {"options": {}, "schedule": SECOND, "enabled": True, **changes}
    return json.dumps({key: value for key, value in whole.items() if value is not None}).encode()


@dataclass(frozen=True)
class Bad:
    """A kind of entry that cannot run.

    :ivar reason: a part of the reason that it must be listed with.
    :ivar fields: of its hash; bytes: the key is a string; a list: it is a list; None: no key.
    :ivar later: due in an hour, so that only the slow look at everything finds it.
    """

    reason: str
    fields: Mapping[str, bytes] | bytes | list[bytes] | None
    later: bool = False

    @property
    def is_hash(self) -> bool:
        return isinstance(self.fields, dict)


def definition(name: str, /, **changes: Any) -> dict[str, bytes]:
    return {"definition": text(name, **changes)}


BAD = {
    "broken JSON": Bad("JSON", {"definition": b'{"name": "broken JSON", "task'}),
    "no object": Bad("object", {"definition": b"[1, 2, 3]"}),
    "bad crontab": Bad(
        "minute", definition("bad crontab", schedule={**DOCUMENTED, "minute": "61"})
    ),
    "as documented": Bad("[1-12]", definition("as documented", schedule=DOCUMENTED)),
    "unknown type": Bad("lunar", definition("unknown type", schedule={"__type__": "lunar"})),
    "unknown field": Bad("colour", definition("unknown field", colour="red")),
    "missing name": Bad("name", definition("missing name", name=None)),
    "missing task": Bad("task", definition("missing task", task=None)),
    "missing schedule": Bad("schedule", definition("missing schedule", schedule=None)),
    "no every": Bad(
        "every", definition("no every", schedule={"__type__": "interval", "relative": False})
    ),
    "no relative": Bad(
        "relative", definition("no relative", schedule={"__type__": "interval", "every": 1.0})
    ),
    "odd args": Bad("args", definition("odd args", args=7)),
    "broken meta": Bad("meta", {"definition": text("broken meta"), "meta": b"{"}),
    "lost zone": Bad(
        "Atlantis",
        {
            "definition": text("lost zone"),
            "meta": json.dumps(
                {
                    "last_run_at": {
                        "__type__": "datetime",
                        "year": 2024,
                        "month": 1,
                        "day": 1,
                        "hour": 0,
                        "minute": 0,
                        "second": 0,
                        "microsecond": 0,
                        "timezone": "Atlantis/Capital",
                    }
                }
            ).encode(),
        },
    ),
    "no definition": Bad("definition", {"meta": b"{}"}),
    "a list": Bad("another Redis type", [b"a", b"b"]),
    "a string": Bad("another Redis type", b"text"),
    "no hash": Bad("missing", None),
    "another name": Bad("'somebody else'", definition("somebody else")),
    "no UTF-8": Bad("UTF-8", {"definition": b'{"name": "no UTF-8", "task": "\xff\xfe"'}),
    "bad later": Bad("lunar", definition("bad later", schedule={"__type__": "lunar"}), later=True),
}


@pytest.fixture
def raw(server: Server) -> redis.Redis:
    """A client that gives bytes."""
    client: redis.Redis = server.client(decode_responses=False)
    return client


def put(raw: redis.Redis, name: str, bad: Bad) -> None:
    key = PREFIX + name.encode()
    if isinstance(bad.fields, bytes):
        raw.set(key, bad.fields)
    elif isinstance(bad.fields, list):
        raw.rpush(key, *bad.fields)
    elif bad.fields is not None:
        for field, value in bad.fields.items():
            raw.hset(key, field, value)
    raw.zadd(SCHEDULE, {key: time.time() + (3600 if bad.later else -5)})


def content(raw: redis.Redis) -> dict[str, tuple[Any, ...]]:
    """Everything that Redis has about each bad entry, byte for byte."""
    keys = {name: PREFIX + name.encode() for name in BAD}
    return {n: (raw.type(k), raw.dump(k), raw.zscore(SCHEDULE, k)) for n, k in keys.items()}


def test_bad_entries_are_reported_and_left_alone_while_all_good_ones_run_on_time(
    app: Celery, raw: redis.Redis, client: redis.Redis, processes: Processes
) -> None:
    assert len(BAD) >= 12
    good = [f"good {number}" for number in range(100)]
    for name in good:
        RedBeatSchedulerEntry(name, "shop.record", 1.0, [name], app=app).save()
    for name, bad in BAD.items():
        put(raw, name, bad)
    before = content(raw)
    journal = Journal(client)
    beat = processes.beat()

    # The good ones: each of their times is run, or counted where the machine was too slow.
    last = journal.wait_for_runs(good[-1], 4)
    for name in good:
        journal.wait_for_runs(name, 4)
        times = [(run.data["nominal"], run.data["missed"]) for run in journal.dispatched(name)]
        for (nominal, missed), (following, _) in pairwise(times):
            assert following - nominal == pytest.approx(1.0 * (missed + 1), abs=1e-3)
    late = sorted(run.data["lateness"] for run in journal.dispatched(after=last.seq // 2))
    print(f"lateness: median {late[len(late) // 2] * 1000:.1f} ms, most {late[-1] * 1000:.1f} ms")

    # The bad ones: reported once each, with the cause.
    for name, bad in BAD.items():
        report = journal.wait(events.ENTRY_INVALID, subject=name)
        assert bad.reason in report.data["reason"], name
        assert beat.log.count(f"The entry {name!r} cannot run") == 1, name
    reports = journal.events(events.ENTRY_INVALID)
    assert sorted(report.subject for report in reports) == sorted(BAD)
    assert journal.dispatched("somebody else") == []

    # They are all still there, unchanged, and listed with the cause.
    assert content(raw) == before
    listed = {record.name: record for record in store_for(app).snapshot().records}
    assert set(listed) == {*BAD, *good, OWN}
    for name, record in listed.items():
        error = decode_record(record, app).error
        if name in BAD:
            assert error, name
            assert BAD[name].reason in error
        else:
            assert error is None, name
    assert beat.running
    assert "Traceback" not in beat.log
    assert runs_twice(journal.dispatched()) == []


def test_a_bad_entry_runs_as_soon_as_it_is_repaired_by_hand(
    raw: redis.Redis, client: redis.Redis, processes: Processes
) -> None:
    repairable = {name: bad for name, bad in BAD.items() if bad.is_hash or bad.fields is None}
    for name, bad in BAD.items():
        put(raw, name, bad)
    journal = Journal(client)
    beat = processes.beat()
    for name in BAD:
        journal.wait(events.ENTRY_INVALID, subject=name)
    for name, bad in repairable.items():
        key = PREFIX + name.encode()
        raw.hset(key, mapping={"definition": text(name), "meta": b'{"last_run_at": null}'})
        if bad.later:
            raw.zadd(SCHEDULE, {key: time.time()})
    for name in repairable:
        journal.wait_for_runs(name, 2)
    assert len(journal.events(events.ENTRY_INVALID)) == len(BAD)
    assert beat.running


def test_an_entry_that_is_broken_anew_is_reported_anew(
    app: Celery, raw: redis.Redis, client: redis.Redis, processes: Processes
) -> None:
    RedBeatSchedulerEntry("other", "shop.record", 0.5, app=app).save()
    put(raw, "report", BAD["unknown type"])
    key = PREFIX + b"report"
    journal = Journal(client)
    beat = processes.beat()
    journal.wait_for_runs("other", 2)
    raw.hset(key, "definition", b"nonsense")
    journal.wait(events.ENTRY_INVALID, subject="report", count=2)
    journal.wait_for_runs("other", 4, after=journal.seq)
    raw.hset(key, "definition", text("report"))
    journal.wait_for_runs("report")
    raw.hset(key, "definition", b"nonsense")
    journal.wait(events.ENTRY_INVALID, subject="report", count=3)
    journal.wait_for_runs("other", 4, after=journal.seq)
    assert len(journal.events(events.ENTRY_INVALID)) == 3
    assert beat.log.count("The entry 'report' cannot run") == 3


def test_a_bad_entry_can_be_deleted(
    app: Celery, raw: redis.Redis, client: redis.Redis, processes: Processes
) -> None:
    for name, bad in BAD.items():
        put(raw, name, bad)
    store = store_for(app)
    journal = Journal(client)
    processes.beat()
    for name in BAD:
        journal.wait(events.ENTRY_INVALID, subject=name)
        assert store.delete(name)
        journal.wait(events.ENTRY_DELETED, subject=name)
    assert set(store.scores()) == {OWN}


def test_many_entries_that_cannot_run_are_not_all_read_at_each_claim(
    app: Celery,
    client: redis.Redis,
    make_scheduler: Callable[..., RedBeatScheduler],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"bad{number}" for number in range(150)]
    for name in names:
        client.hset(f"redbeat:{name}", "definition", "{oops")
        client.zadd("redbeat::schedule", {f"redbeat:{name}": 1000})
    scheduler = make_scheduler()
    monkeypatch.setattr("redbeat_core.storage.leader_store._COMPARE_EVERY", 600.0)
    # The slow look reads entries, too, and comes in between where a second passes.
    monkeypatch.setattr("redbeat_core.maintenance.reconcile.SCAN_EVERY", 600.0)
    run(scheduler)
    assert len(scheduler.batch.loader.invalid) == len(names)
    # Whether they were compared since they became many depends on how the batches fell.
    run(scheduler)
    due_entry(app, "good")
    client.config_resetstat()
    run(scheduler)
    commands: Any = client.info("commandstats")
    assert commands.get("cmdstat_hmget", {"calls": 0})["calls"] < len(names)
    assert len(queued(client)) == 1
    # One that was put right is found at the next look.
    due_entry(app, "bad7")
    scheduler.store._compared_at = 0.0
    monkeypatch.setattr("redbeat_core.storage.leader_store._COMPARE_EVERY", 0.0)
    run(scheduler)
    assert len(queued(client)) == 2
