"""The event types, and the order in which a subscriber may apply events. Pure.

Events are CloudEvents 1.0 in JSON with one more attribute, ``seq``: their position in the log
stream, without gaps. ``data`` may carry ``fields`` (the entry's hash fields as they are after
the change, None for a removed one) and ``score``; whoever keeps a copy of the schedule patches
it with them and needs to read nothing back. Unknown types and fields are ignored by readers.
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
    :ivar source: who emitted it, for example ``/redbeat/beat/<token>``.
    :ivar type: one of the names above, or one that a newer version brought.
    :ivar subject: the entry's name, or the beat's token; may be empty.
    :ivar time: when (UTC), by the emitter's clock.
    :ivar seq: position in the log. A heartbeat is not in the log and carries the last one's.
    :ivar data: what changed.
    """

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    seq: int
    data: Mapping[str, Any] = field(default_factory=dict)


def event_text(type_: str, source: str, subject: str, data: Mapping[str, Any], now: float) -> str:
    """The JSON of an event without its closing brace: the Lua scripts append ``seq``.

    :param now: Unix seconds.
    """
    return (
        f'{{"specversion":"1.0","id":"{secrets.token_hex(8)}","source":{_text(source)},'
        f'"type":{_text(type_)},"subject":{_encode(subject)},"time":"{_time(int(now * 1000))}",'
        f'"data":{_encode(data)}'
    )


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
#: The few texts that come again in every event.
_text = lru_cache(maxsize=256)(_encode)


@lru_cache(maxsize=16)
def _time(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_message(text: str | bytes) -> list[Event]:
    """Read one message of the channel: an event, or a list of them (the CloudEvents JSON batch
    format). What is neither gives nothing."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError, TypeError):
        return []
    found = (_event(item) for item in (raw if isinstance(raw, list) else [raw]))
    return [event for event in found if event is not None]


def parse_event(text: str | bytes) -> Event | None:
    """Read one event; None when *text* is none (anybody may publish on a channel)."""
    found = parse_message(text)
    return found[0] if len(found) == 1 else None


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
    """The whole schedule.

    :ivar records: every entry, in no order.
    :ivar seq: the log position before the reading began; events after it may be in the
        records already, and are to be applied again (they carry state, not steps).
    :ivar taken_at: Unix seconds, by the Redis server's clock.
    """

    records: tuple[EntryRecord, ...]
    seq: int
    taken_at: float


@dataclass(frozen=True, slots=True)
class Changes:
    """Events in the order of the log, none missing, none twice."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a scan found that no event told: another program's writes.

    :ivar records: entries as they are now.
    :ivar removed: names that are gone.
    """

    records: tuple[EntryRecord, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """The state of the connection.

    :ivar state: ``connecting``, ``catching-up``, ``live`` or ``disconnected``.
    :ivar reason: in words; empty when there is nothing to say.
    """

    state: str
    reason: str = ""


class Sequencer:
    """Keeps events in the order of the log: drops what came twice, holds back what came early.

    Gap and duplicate detection by a contiguous sequence number.
    """

    def __init__(self, seq: int = 0, last_id: str = "") -> None:
        self.seq = seq
        self.last_id = last_id

    def offer(self, events: Iterable[Event]) -> tuple[list[Event], bool]:
        """Take what may be applied now.

        :returns: the events that follow on the last one applied, and whether something is
            missing (then ask the log for everything after :attr:`seq` and offer that).
        """
        ready: list[Event] = []
        gap = False
        for event in events:
            if event.type == BEAT_HEARTBEAT:
                ready.append(event)
                gap = gap or event.seq > self.seq
            elif event.seq == self.seq + 1:
                self.seq, self.last_id = event.seq, event.id
                ready.append(event)
            elif event.seq > self.seq:
                gap = True
        return ready, gap

    def is_old(self, event: Event) -> bool:
        """Whether *event* lies before what was applied: a duplicate, or a log that was emptied."""
        if event.type == BEAT_HEARTBEAT:
            return event.seq < self.seq
        return event.seq <= self.seq
