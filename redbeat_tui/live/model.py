"""Holds the schedule for the console: a snapshot and the events after it, as rows. Pure.

The thread that draws owns a :class:`Model`. No method blocks: an event changes only the row of its
entry, and :meth:`Model.prepare`, which any thread may call beforehand, makes rows of a snapshot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isnan
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from redbeat_core.entries.record import HASH_FIELDS, EntryRecord
from redbeat_core.events import (
    BEAT_HEARTBEAT,
    ENTRY_DELETED,
    LEADER_CHANGED,
    Changes,
    Event,
    Link,
    Reconciled,
    Snapshot,
    StreamItem,
)

from .row import Row

if TYPE_CHECKING:
    from celery import Celery

#: The number of latest events that the model keeps.
RECENT = 500

#: Clocks that differ by less than this are treated as equal, in seconds: the measured difference
#: contains the time that the message took.
_SAME_CLOCK = 2.0


#: A snapshot of more entries than this is on the screen before all of it is decoded.
LARGE = 2_000


@dataclass(frozen=True, slots=True)
class SnapshotRows:
    """The rows of a snapshot, made outside the drawing thread.

    :ivar rows: by name, the entry that is due first comes first.
    """

    rows: dict[str, Row]
    seq: int
    taken_at: float


@dataclass(frozen=True, slots=True)
class Decoded:
    """The names of rows of a large snapshot that another thread has decoded."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Delta:
    """The changes that one :meth:`Model.apply` made.

    :ivar changed: names of the rows that are new or changed.
    :ivar removed: names of the rows that were removed.
    :ivar all: all rows were replaced; the two sets are empty then.
    :ivar decoded: names of rows that did not change, but can now be filtered and sorted by their
        content: see :attr:`~redbeat_tui.live.row.Row.ready`.
    :ivar facts: the link, the leader or a beat changed, which the header shows.
    :ivar events: the events that were applied, in order, without heartbeats.
    """

    changed: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    all: bool = False
    facts: bool = False
    events: tuple[Event, ...] = ()
    decoded: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return self != NO_CHANGE

    def then(self, other: Delta) -> Delta:
        """Return this change followed by *other* as one change."""
        facts = self.facts or other.facts
        events = self.events + other.events
        if self.all or other.all:
            return Delta(all=True, facts=facts, events=events)
        return Delta(
            changed=(self.changed - other.removed) | other.changed,
            removed=(self.removed - other.changed) | other.removed,
            facts=facts,
            events=events,
            decoded=self.decoded | other.decoded,
        )


NO_CHANGE = Delta()


@dataclass(frozen=True, slots=True)
class LiveBeat:
    """A beat, from its latest event.

    :ivar token: its token, which the lease holds while it leads.
    :ivar role: ``leader``, ``standby`` or empty when unknown.
    :ivar at: the time of its latest event, Unix seconds by its own clock.
    :ivar lag: seconds by which it dispatches late; None when unknown.
    """

    token: str
    host: str = ""
    pid: int | None = None
    role: str = ""
    at: float = 0.0
    delivery: str = ""
    lag: float | None = None


class Model:
    """The rows by name, the state of the connection, and the beats.

    :ivar link: the state of the connection.
    :ivar link_since: when the connection entered that state, Unix seconds by *clock*.
    :ivar seq: the position in the log of the last event that was applied.
    :ivar recent: the latest events, the oldest first, without heartbeats.
    :ivar leader: the leader by the events; None when no beat leads, or no event has named one.
    :ivar beats: every beat that sent an event since the start, by token.
    """

    def __init__(self, clock: Callable[[], float], app: Celery | None = None) -> None:
        """
        :param clock: returns the present in Unix seconds.
        :param app: its time zone applies to crontabs.
        """
        self._clock = clock
        self._app = app
        self._rows: dict[str, Row] = {}
        self.link = Link("connecting")
        self.link_since = clock()
        self.seq = 0
        self.recent: deque[Event] = deque(maxlen=RECENT)
        self.leader: LiveBeat | None = None
        self.beats: dict[str, LiveBeat] = {}
        self._skew = 0.0

    @property
    def rows(self) -> Mapping[str, Row]:
        """Every entry's row, in no order: a read-only view that follows the model."""
        return MappingProxyType(self._rows)

    @property
    def live(self) -> bool:
        """Whether the rows are up to date with Redis."""
        return self.link.state == "live"

    def now(self) -> float:
        """Return the present by the leader's clock, which due times refer to: Unix seconds."""
        return self._clock() + self._skew

    def prepare(self, snapshot: Snapshot, *, defer: bool = False) -> SnapshotRows:
        """Make rows of *snapshot*. Does not change the model, so another thread may call it.

        :param defer: leave the decoding of a large snapshot to a thread that passes
            :class:`Decoded` to :meth:`apply`.
        """
        deferred = defer and len(snapshot.records) > LARGE
        rows = [Row(record, self._app, deferred=deferred) for record in snapshot.records]
        rows.sort(key=_soonest)
        return SnapshotRows({row.name: row for row in rows}, snapshot.seq, snapshot.taken_at)

    def apply(self, item: StreamItem | SnapshotRows | Decoded) -> Delta:
        """Apply an item of the event stream. Never raises, whatever its data is.

        Applying it again changes nothing: events carry state, not steps.
        """
        if isinstance(item, Changes):
            return self._apply_events(item.events)
        if isinstance(item, Link):
            if item.state != self.link.state:
                self.link_since = self._clock()
            changed = item != self.link
            self.link = item
            return Delta(facts=changed)
        if isinstance(item, Reconciled):
            return self._reconcile(item)
        if isinstance(item, Decoded):
            return Delta(decoded=item.names & self._rows.keys())
        if isinstance(item, Snapshot):
            item = self.prepare(item)
        # Changed in place, since callers keep the mapping.
        self._rows.clear()
        self._rows.update(item.rows)
        self.seq = item.seq
        return Delta(all=True)

    def _reconcile(self, item: Reconciled) -> Delta:
        changed: set[str] = set()
        for record in item.records:
            if self._put(record, None):
                changed.add(record.name)
        removed = {name for name in item.removed if self._rows.pop(name, None) is not None}
        return Delta(changed=frozenset(changed - removed), removed=frozenset(removed))

    def _apply_events(self, events: tuple[Event, ...]) -> Delta:
        changed: set[str] = set()
        removed: set[str] = set()
        facts = False
        applied: list[Event] = []
        for event in events:
            if event.type == BEAT_HEARTBEAT:
                facts = self._apply_heartbeat(event) or facts
                continue
            if event.seq <= self.seq:
                # A duplicate, or part of the snapshot already: newer events may have followed it.
                continue
            self.seq = event.seq
            applied.append(event)
            if event.type == LEADER_CHANGED:
                self._set_leader(event)
                facts = True
                continue
            name = event.subject
            if event.type == ENTRY_DELETED:
                if self._rows.pop(name, None) is not None:
                    changed.discard(name)
                    removed.add(name)
                continue
            if self._patch(event):
                removed.discard(name)
                changed.add(name)
        self.recent.extend(applied[-RECENT:])
        return Delta(frozenset(changed), frozenset(removed), facts=facts, events=tuple(applied))

    def _patch(self, event: Event) -> bool:
        row = self._rows.get(event.subject)
        fields = _fields(event.data)
        if row is not None:
            record = row.record
        elif fields.get("definition") is not None and event.subject:
            record = EntryRecord(event.subject)
        else:
            return False
        if fields or "score" in event.data:
            record = record.patched(fields, _score(event.data, record.score))
        return self._put(record, event)

    def _put(self, record: EntryRecord, event: Event | None) -> bool:
        before = self._rows.get(record.name)
        if event is None and before is not None:
            if before.record == record:
                return False
            event = before.event
        self._rows[record.name] = Row(record, self._app, event, before)
        return True

    def _apply_heartbeat(self, event: Event) -> bool:
        """Update the beat that sent *event*; returns whether the header shows a change."""
        beat = _beat(event)
        if not beat.token:
            return False
        before = self.beats.get(beat.token)
        self.beats[beat.token] = beat
        if beat.role == "leader":
            skew = beat.at - self._clock()
            self._skew = skew if abs(skew) > _SAME_CLOCK else 0.0
            self.leader = beat
        elif self.leader is not None and self.leader.token == beat.token:
            self.leader = None
        return before is None or (before.role, before.delivery, before.lag) != (
            beat.role,
            beat.delivery,
            beat.lag,
        )

    def _set_leader(self, event: Event) -> None:
        token = event.data.get("leader")
        if not isinstance(token, str) or not token:
            self.leader = None
            return
        beat = _beat(event)
        before = self.beats.get(token)
        self.leader = LiveBeat(
            token=token,
            host=beat.host,
            pid=beat.pid,
            role="leader",
            at=beat.at,
            delivery=beat.delivery or (before.delivery if before else ""),
        )
        self.beats[token] = self.leader


def _soonest(row: Row) -> tuple[float, str]:
    return row.waits_until, row.name


def _fields(data: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the hash fields in an event's data; drop values that are not text, because anybody
    may publish an event."""
    fields = data.get("fields")
    if not isinstance(fields, dict):
        return {}
    return {
        name: value
        for name, value in fields.items()
        if name in HASH_FIELDS and (value is None or isinstance(value, str))
    }


def _score(data: Mapping[str, Any], before: float | None) -> float | None:
    score = data.get("score", before)
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, int | float):
        return before
    try:
        number = float(score)
    except OverflowError:
        return before
    return before if isnan(number) else number


def _beat(event: Event) -> LiveBeat:
    data = event.data
    token = data.get("token", event.subject)
    host = data.get("host")
    pid = data.get("pid")
    role = data.get("role")
    delivery = data.get("delivery")
    lag = data.get("lag")
    if isinstance(pid, str) and pid.isascii() and pid.isdigit() and len(pid) < 20:
        pid = int(pid)
    return LiveBeat(
        token=token if isinstance(token, str) else "",
        host=host if isinstance(host, str) else "",
        pid=pid if isinstance(pid, int) else None,
        role=role if isinstance(role, str) else "",
        at=event.time.timestamp(),
        delivery=delivery if isinstance(delivery, str) else "",
        lag=float(lag) if isinstance(lag, int | float) else None,
    )
