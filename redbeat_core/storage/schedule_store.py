"""Reads and writes the schedule in Redis.

The entry, the scheduler, the operations and the event stream use it. A change is one Lua call that
also logs and publishes its event: every change has an event, and every event a change.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from celery import Celery
from celery.app import app_or_default
from redis.exceptions import ResponseError

from redbeat_core import events
from redbeat_core.entries.record import HASH_FIELDS, EntryRecord
from redbeat_core.settings.config import ensure_conf
from redbeat_core.settings.keys import Keys

from .connection import get_redis, is_cluster, one_server, raw_client
from .scripts import Scripts

#: Most entries that one round trip reads.
PAGE = 1000
#: Most run-now requests that may wait: without a leader of this project, which removes them, they
#: must not accumulate without end.
MOST_REQUESTS = 10_000


class VersionConflict(Exception):
    """The entry changed after the caller read it.

    :ivar current: the entry as it is now; None: it does not exist any more.
    """

    def __init__(self, name: str, current: EntryRecord | None) -> None:
        reason = "is gone" if current is None else "was changed by somebody else meanwhile"
        super().__init__(f"{name!r} {reason}: nothing was written")
        self.current = current


class ScheduleStore:
    """The schedule under one key prefix.

    :param client: a redis-py client with text responses.
    :param source: the ``source`` of the events that this store's changes emit.
    :param clock: the time of the events, Unix seconds.
    """

    def __init__(
        self,
        client: Any,
        keys: Keys | None = None,
        *,
        source: str = "/redbeat/client",
        log_length: int = 10000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.client = raw_client(client)
        self.keys = replace(keys or Keys(), database=self.database)
        self.source = source
        self.log_length = log_length
        self.scripts = Scripts(self.client)
        self.clock = clock

    @property
    def database(self) -> int:
        """Number of the database that this store's client uses."""
        pool = getattr(self.client, "connection_pool", None)
        return int(pool.connection_kwargs.get("db") or 0) if pool is not None else 0

    # Reading

    def get(self, name: str) -> EntryRecord | None:
        """Return one entry; None if it has neither a hash nor a score in the schedule."""
        record = self.records([name])[0]
        gone = record.score is None and record.fault == MISSING
        return None if gone else record

    def records(self, names: Sequence[str]) -> list[EntryRecord]:
        """Return these entries in this order; one that is missing or no hash has a ``fault``."""
        records: list[EntryRecord] = []
        for start in range(0, len(names), PAGE):
            page = names[start : start + PAGE]
            pipe = self.client.pipeline(transaction=False)
            for name in page:
                pipe.zscore(self.keys.schedule, self.keys.prefix + name)
                pipe.hmget(self.keys.prefix + name, *HASH_FIELDS)
            replies = pipe.execute(raise_on_error=False)
            for name, score, values in zip(page, replies[::2], replies[1::2], strict=True):
                if isinstance(score, Exception):
                    raise score
                records.append(_record(name, score, values))
        return records

    def scores(self) -> dict[str, float]:
        """Return name and score of every entry in the schedule."""
        members = self.client.zrange(self.keys.schedule, 0, -1, withscores=True)
        return {self.keys.name(key): float(score) for key, score in members}

    def snapshot(self) -> events.Snapshot:
        """Return every entry, with the number of the log's newest event before they were read."""
        seq = self.last_seq()
        names = list(self.scores())
        return events.Snapshot(tuple(self.records(names)), seq, self.server_time())

    def rank(self, name: str) -> int | None:
        """Return the entry's position in the order of the next runs, from 0; None: no position."""
        rank: int | None = self.client.zrank(self.keys.schedule, self.keys.entry(name))
        return rank

    def statics(self) -> set[str]:
        """Return the names of the entries that come from ``beat_schedule``."""
        return set(self.client.smembers(self.keys.statics))

    def add_statics(self, names: Iterable[str]) -> None:
        """Record that the entries of these names come from ``beat_schedule``."""
        if members := list(names):
            self.client.sadd(self.keys.statics, *members)

    def server_time(self) -> float:
        """Return the time of the Redis server, Unix seconds."""
        seconds, micro = one_server(self.client).time()
        return int(seconds) + int(micro) / 1e6

    # The log

    def last_seq(self) -> int:
        """Return the number of the log's newest event; 0 for an empty log."""
        newest = self.client.xrevrange(self.keys.log, count=1)
        return int(newest[0][0].partition("-")[0]) if newest else 0

    def log_after(self, seq: int, count: int = PAGE) -> list[events.Event]:
        """Return the events after *seq* in order, at most *count*."""
        entries = self.client.xrange(self.keys.log, min=f"({seq}-0" if seq else "-", count=count)
        parsed = (events.parse_event(values.get("event", "")) for _, values in entries)
        return [event for event in parsed if event is not None]

    def log_event(self, seq: int) -> events.Event | None:
        """Return the event with the number *seq*, or None if the log does not have it."""
        entries = self.client.xrange(self.keys.log, min=f"{seq}-0", max=f"{seq}-0")
        return events.parse_event(entries[0][1].get("event", "")) if entries else None

    # Changing an entry

    def event(self, type_: str, subject: str, data: Mapping[str, Any] | None = None) -> str:
        """Return the text of an event that this store emits now; without *data*, a script adds the
        data."""
        text = events.event_text(type_, self.source, subject, data or {}, self.clock())
        return text if data is not None else text.removesuffix(',"data":{}')

    def change(
        self,
        name: str,
        steps: Sequence[tuple[str, str, str]],
        *,
        score: float | None = None,
        expect: str = "",
        expect_score: float | None = None,
        types: tuple[str, str] = (events.ENTRY_CREATED, events.ENTRY_UPDATED),
        data: Mapping[str, Any] | None = None,
        pipe: Any = None,
    ) -> EntryRecord | None:
        """Change one entry atomically, with its event.

        :param steps: (``set`` | ``setnx`` | ``del`` | ``drop``, field, value).
        :param score: the entry's new score; None leaves it.
        :param expect: the version that the entry must have: empty: any; ``new``: it must not exist;
            ``known``: it must exist in any version.
        :param expect_score: the score that the entry must have, which is not part of the version;
            None: any.
        :param types: the event's type for a new entry and for an existing one.
        :param data: more of the event's data, such as who made the change.
        :param pipe: queue the change there; then nothing is returned or raised here.
        :raises VersionConflict: the entry is not as expected.
        """
        reply = self.scripts.run(
            "change",
            [self.keys.entry(name), self.keys.schedule, self.keys.log, self.keys.events],
            [
                expect,
                self.log_length,
                self.event(types[0], name),
                self.event(types[1], name),
                _members(data),
                "" if score is None else score_text(score),
                "" if expect_score is None else score_text(expect_score),
                *(part for step in steps for part in step),
            ],
            pipe,
        )
        return None if pipe is not None else self._changed(name, reply)

    def _changed(self, name: str, reply: Sequence[Any]) -> EntryRecord:
        if reply[0] == "conflict":
            raise VersionConflict(name, loaded_record(name, reply[1:]))
        return loaded_record(name, reply[2:])

    def save_many(self, changes: Iterable[Mapping[str, Any]]) -> list[tuple[str, Exception | None]]:
        """Make many changes (the arguments of :meth:`change`) in few round trips.

        :returns: the name and the error (None: no error) of each change.
        """
        results: list[tuple[str, Exception | None]] = []
        if is_cluster(self.client):
            # The pipelines of a Cluster do not support scripts.
            for change in changes:
                try:
                    self.change(**change)
                    results.append((change["name"], None))
                except (VersionConflict, ResponseError) as exc:
                    results.append((change["name"], exc))
            return results
        for page in _pages(changes, PAGE // 2):
            pipe = self.client.pipeline(transaction=False)
            for change in page:
                self.change(**change, pipe=pipe)
            for change, reply in zip(page, pipe.execute(raise_on_error=False), strict=True):
                name = change["name"]
                problem: Exception | None = reply if isinstance(reply, Exception) else None
                if problem is None and reply[0] == "conflict":
                    problem = VersionConflict(name, loaded_record(name, reply[1:]))
                results.append((name, problem))
        return results

    def delete(
        self,
        name: str,
        *,
        expect: str = "",
        data: Mapping[str, Any] | None = None,
        static: bool = False,
        expect_score: float | None = None,
        pipe: Any = None,
    ) -> bool:
        """Delete one entry, with its event.

        :param expect: the version that the entry must have; empty: any.
        :param data: more of the event's data, such as who made the change.
        :param static: remove its record of coming from ``beat_schedule`` too.
        :param expect_score: the score that the entry must have; None: any.
        :param pipe: queue the change there; then nothing is returned or raised here.
        :returns: whether the entry existed.
        :raises VersionConflict: the entry is not as expected.
        """
        keys = self.keys
        reply = self.scripts.run(
            "delete",
            [keys.prefix + name, keys.schedule, keys.log, keys.events, keys.statics],
            [
                expect,
                self.log_length,
                self.event(events.ENTRY_DELETED, name, data or {}),
                name if static else "",
                "" if expect_score is None else score_text(expect_score),
            ],
            pipe,
        )
        if pipe is not None:
            return False
        if reply[0] == "conflict":
            raise VersionConflict(name, loaded_record(name, reply[1:]))
        return bool(reply[0] == "ok")

    def delete_statics(self, names: Iterable[str], data: Mapping[str, Any]) -> None:
        """Delete many entries that come from ``beat_schedule``, in few round trips."""
        for page in _pages(names, PAGE // 2):
            # The pipelines of a Cluster do not support scripts.
            pipe = None if is_cluster(self.client) else self.client.pipeline(transaction=False)
            for name in page:
                self.delete(name, data=data, static=True, pipe=pipe)
            if pipe is not None:
                pipe.execute()

    def request_run(
        self, name: str, request: str, *, expect: str = "", data: Mapping[str, Any]
    ) -> str:
        """Queue a run-now request for the leader.

        :param request: the text of a :class:`redbeat_core.entries.trigger.Trigger`.
        :returns: ``ok``, ``gone`` (the entry does not exist) or ``full`` (:data:`MOST_REQUESTS`
            requests wait already).
        :raises VersionConflict: the entry is not as expected.
        """
        keys = self.keys
        reply = self.scripts.run(
            "trigger",
            [keys.entry(name), keys.schedule, keys.log, keys.events, keys.triggers],
            [
                expect,
                self.log_length,
                self.event(events.RUN_REQUESTED, name, data),
                request,
                MOST_REQUESTS,
            ],
        )
        if reply[0] == "conflict":
            raise VersionConflict(name, loaded_record(name, reply[1:]))
        return str(reply[0])

    def record_outcome(
        self, name: str, type_: str, outcome: Mapping[str, Any], data: Mapping[str, Any]
    ) -> bool:
        """Store the outcome of a run of the entry, unless a newer run has reported already.

        :returns: whether it was stored.
        """
        keys = self.keys
        reply = self.scripts.run(
            "outcome",
            [keys.prefix + name, keys.log, keys.events],
            [self.log_length, json.dumps(outcome), self.event(type_, name), _members(data)],
        )
        return bool(reply)


MISSING = "its hash is missing: the schedule names it, but the key does not exist"


def score_text(score: float) -> str:
    """Return a score as text for Redis, with all its digits."""
    return repr(float(score))


def _record(name: str, score: float | None, values: Any) -> EntryRecord:
    score = None if score is None else float(score)
    if isinstance(values, Exception):
        return EntryRecord(name, score, fault=str(values))
    if all(value is None for value in values):
        return EntryRecord(name, score, fault=MISSING)
    return EntryRecord(name, score, **dict(zip(HASH_FIELDS, values, strict=True)))


def loaded_record(name: str, loaded: Sequence[Any]) -> EntryRecord:
    """Return the record of an entry that ``load_entry`` of the scripts has read."""
    # The scripts' JSON has false for a missing value.
    score, kind, *values = (None if value is False else value for value in loaded)
    if kind == "fault":
        return _record(name, score, Exception(values[0]))
    return _record(name, score, values + [None] * (len(HASH_FIELDS) - len(values)))


def _members(data: Mapping[str, Any] | None) -> str:
    return json.dumps(data)[1:-1] if data else ""


def _pages(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    page: list[Any] = []
    for item in items:
        page.append(item)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page


def store_for(app: Celery | None = None) -> ScheduleStore:
    """Return the app's store, created once and stored as ``app.redbeat_store``."""
    app = app_or_default(app)
    client = get_redis(app)
    store = getattr(app, "redbeat_store", None)
    # Tests and forked processes may have replaced the app's client since.
    if store is None or store.client is not raw_client(client):
        config = ensure_conf(app)
        store = app.redbeat_store = ScheduleStore(client, config.keys, log_length=config.log_length)
    assert isinstance(store, ScheduleStore)
    return store
