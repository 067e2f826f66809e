"""Defines the event types, parses events, and orders them for a subscriber. Pure.

Events are CloudEvents 1.0 in JSON with one more attribute, ``seq``: their number in the log
stream, without missing numbers. ``data`` may contain ``fields`` (the changed hash fields of the
entry with their new values, None for a removed one) and ``score``: a subscriber that keeps a copy
of the schedule patches it with them, without a further read. Readers ignore unknown types and
fields.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from redbeat_core.entries.record import EntryRecord

ENTRY_CREATED = "redbeat.entry.created"
ENTRY_UPDATED = "redbeat.entry.updated"
ENTRY_DELETED = "redbeat.entry.deleted"
ENTRY_PAUSED = "redbeat.entry.paused"
ENTRY_RESUMED = "redbeat.entry.resumed"
ENTRY_INVALID = "redbeat.entry.invalid"
ENTRY_FINISHED = "redbeat.entry.finished"
RUN_REQUESTED = "redbeat.run.requested"
RUN_DISPATCHED = "redbeat.run.dispatched"
RUN_FAILED = "redbeat.run.failed"
RUN_SKIPPED = "redbeat.run.skipped"
RUN_MISSED = "redbeat.run.missed"
RUN_STARTED = "redbeat.run.started"
RUN_SUCCEEDED = "redbeat.run.succeeded"
RUN_ERRORED = "redbeat.run.errored"
RUN_RETRIED = "redbeat.run.retried"
RUN_REVOKED = "redbeat.run.revoked"
LEADER_CHANGED = "redbeat.leader.changed"
BEAT_HEARTBEAT = "redbeat.beat.heartbeat"


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    :ivar id: unique for its source.
    :ivar source: its emitter, for example ``/redbeat/beat/<token>``.
    :ivar type: one of the names above, or one of a newer version.
    :ivar subject: the entry's name, or the beat's token; may be empty.
    :ivar time: when it was emitted (UTC), by the emitter's clock.
    :ivar seq: its number in the log. A heartbeat is not logged, and has the newest event's number.
    :ivar data: the content, which depends on the type.
    """

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    seq: int
    data: Mapping[str, Any] = field(default_factory=dict)


def event_text(type_: str, source: str, subject: str, data: Mapping[str, Any], now: float) -> str:
    """Return the JSON of an event without its closing brace: the Lua scripts append ``seq``.

    :param now: Unix seconds.
    """
    return (
        f'{{"specversion":"1.0","id":"{secrets.token_hex(8)}","source":{_text(source)},'
        f'"type":{_text(type_)},"subject":{_encode(subject)},"time":"{_time(int(now * 1000))}",'
        f'"data":{_encode(data)}'
    )


# The data of each type that more than one place emits, or that readers rely on.


def entry_state(fields: Mapping[str, Any], score: Any) -> dict[str, Any]:
    """The part of an event's data that says how its entry is after the change.

    :param fields: hash fields with their new texts; None for a removed one.
    :param score: the entry's score.
    """
    return {"fields": fields, "score": score}


def entry_invalid(reason: str) -> dict[str, Any]:
    """Data of :data:`ENTRY_INVALID`."""
    return {"reason": reason}


def run_dispatched(
    nominal: Any, task_id: Any, lateness: Any, *, trigger: str | None = None, missed: int = 0
) -> dict[str, Any]:
    """Data of :data:`RUN_DISPATCHED`.

    :param nominal: Unix seconds.
    :param lateness: seconds.
    :param trigger: the id of the run-now request; None: a run by schedule.
    :param missed: how many nominal times the run stands for beside its own.
    """
    return {
        "nominal": nominal,
        "task_id": task_id,
        "trigger": trigger,
        "lateness": lateness,
        "missed": missed,
    }


def run_failed(
    nominal: float | None, reason: str, trigger: str | None = None, **attempt: float | None
) -> dict[str, Any]:
    """Data of :data:`RUN_FAILED`.

    :param nominal: Unix seconds.
    :param attempt: ``retry_in``, seconds until the next attempt, where that is decided.
    """
    return {"nominal": nominal, "trigger": trigger, "reason": reason, **attempt}


def runs_not_made(
    first: float, last: float, count: int, reason: str, trigger: str | None = None
) -> dict[str, Any]:
    """Data of :data:`RUN_MISSED` and :data:`RUN_SKIPPED`: a range of nominal times without a run.

    :param first: the first of them, Unix seconds.
    """
    return {
        "nominal": first,
        "last": last,
        "count": count,
        "reason": reason,
        "trigger": trigger,
    }


def run_reported(task_id: str, nominal: Any, trigger: Any) -> dict[str, Any]:
    """Data of the events that a worker emits about a run, beside the outcome."""
    return {"task_id": task_id, "nominal": nominal, "trigger": trigger}


def leader_changed(leader: str | None, host: str, pid: int, reason: str) -> dict[str, Any]:
    """Data of :data:`LEADER_CHANGED`.

    :param leader: the token of the new leader; None: nobody leads.
    :param reason: ``acquired`` or ``released``.
    """
    return {"leader": leader, "host": host, "pid": pid, "reason": reason}


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
#: Encodes the few texts that every event repeats.
_text = lru_cache(maxsize=256)(_encode)


@lru_cache(maxsize=16)
def _time(milliseconds: int) -> str:
    instant = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_message(text: str | bytes) -> list[Event]:
    """Parse one message of the channel: an event, or a list of events (the CloudEvents JSON
    batch format). Return no event for any other text."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError, TypeError):
        return []
    parsed = (_event(item) for item in (raw if isinstance(raw, list) else [raw]))
    return [event for event in parsed if event is not None]


def parse_event(text: str | bytes) -> Event | None:
    """Parse one event; None if *text* is not one (any client may publish on a channel)."""
    events = parse_message(text)
    return events[0] if len(events) == 1 else None


def _event(raw: Any) -> Event | None:
    try:
        return Event(
            id=str(raw["id"]),
            source=str(raw["source"]),
            type=str(raw["type"]),
            subject=str(raw.get("subject") or ""),
            time=datetime.fromisoformat(raw["time"]),
            seq=int(raw["seq"]),
            data=raw["data"] if isinstance(raw.get("data"), dict) else {},
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All entries of the schedule.

    :ivar records: every entry, in no order.
    :ivar seq: the number of the newest event before the entries were read. The records may
        contain later changes already; their events can be applied again, since they contain the
        new state and not the difference.
    :ivar taken_at: Unix seconds, by the Redis server's clock.
    """

    records: tuple[EntryRecord, ...]
    seq: int
    taken_at: float


@dataclass(frozen=True, slots=True)
class Changes:
    """Events in the order of the log, without missing or repeated ones."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Changes without an event, which a comparison with Redis detected: another program's writes.

    :ivar records: the changed entries, as they are now.
    :ivar removed: the names of deleted entries.
    """

    records: tuple[EntryRecord, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """The state of the connection.

    :ivar state: ``connecting``, ``catching-up``, ``live`` or ``disconnected``.
    :ivar reason: the reason of the state, for the operator; may be empty.
    """

    state: str
    reason: str = ""


#: What a subscriber receives, in this order: the connection, the whole schedule, its changes.
StreamItem = Link | Snapshot | Changes | Reconciled


class Sequencer:
    """Accepts events in the order of the log, and drops repeated and early ones.

    It detects missing and repeated events by a contiguous sequence number.

    :ivar seq: the number of the last accepted event.
    :ivar last_id: the id of the last accepted event.
    """

    def __init__(self, seq: int = 0, last_id: str = "") -> None:
        self.seq = seq
        self.last_id = last_id

    def offer(self, events: Iterable[Event]) -> tuple[list[Event], bool]:
        """Accept the events that follow the last accepted one.

        :returns: the accepted events, and whether events are missing (then read all events after
            :attr:`seq` from the log, and offer them).
        """
        ready: list[Event] = []
        incomplete = False
        for event in events:
            if event.type == BEAT_HEARTBEAT:
                ready.append(event)
                incomplete = incomplete or event.seq > self.seq
            elif event.seq == self.seq + 1:
                self.seq = event.seq
                self.last_id = event.id
                ready.append(event)
            elif event.seq > self.seq:
                incomplete = True
        return ready, incomplete

    def is_old(self, event: Event) -> bool:
        """Whether *event* is not newer than the last accepted one: it is repeated, or somebody
        emptied the log."""
        if event.type == BEAT_HEARTBEAT:
            return event.seq < self.seq
        return event.seq <= self.seq
