"""The schedule as the console knows it: a snapshot and the events after it, as rows. Pure.

One thread owns a :class:`Model`, the one that draws. Nothing here waits: an event touches the
one row it is about, and a snapshot is turned into rows by :meth:`Model.prepare`, which any
thread may call beforehand.
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
)

from .row import Row

if TYPE_CHECKING:
    from celery import Celery

#: Events kept for the log pane.
RECENT = 500

#: Clocks that are closer than this are taken as equal, in seconds: the difference is measured by
#: messages that take their time.
_SAME_CLOCK = 2.0

Item = Link | Snapshot | Changes | Reconciled

#: A snapshot of more entries than this is on the screen before all of it is decoded.
LARGE = 2_000


@dataclass(frozen=True, slots=True)
class SnapshotRows:
    """A snapshot that is rows already, made off the drawing thread.

    :ivar rows: the soonest due first.
    """

    rows: dict[str, Row]
    seq: int
    taken_at: float


@dataclass(frozen=True, slots=True)
class Decoded:
    """Rows of a large snapshot that were decoded since, off the drawing thread."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Delta:
    """What :meth:`Model.apply` changed.

    :ivar changed: names of the rows that are new or other than before.
    :ivar removed: names of the rows that are gone.
    :ivar all: the rows were replaced as a whole; the two sets are empty.
    :ivar decoded: names of rows that did not change, but can now be filtered and sorted by what
        is in them: see :attr:`~redbeat_tui.live.row.Row.ready`.
    :ivar facts: the link, the leader or a beat changed: what a header shows.
    :ivar events: what was told, in order, heartbeats left out.
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
        """This change and *other* after it, as one."""
        facts, events = self.facts or other.facts, self.events + other.events
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
class Beat:
    """A beat as its events describe it.

    :ivar token: who it is, as the lock names it.
    :ivar role: ``leader``, ``standby`` or empty when not known.
    :ivar at: when it last said something, Unix seconds by its own clock.
    :ivar lag: seconds by which it dispatches late; None: not known.
    """

    token: str
    host: str = ""
    pid: int | None = None
    role: str = ""
    at: float = 0.0
    delivery: str = ""
    lag: float | None = None


class Model:
    """Rows by name, and what is known of the connection and the beats.

    :ivar link: the state of the connection.
    :ivar link_since: when it came to that state, Unix seconds by the clock given.
    :ivar seq: the position in the log up to which events are applied.
    :ivar recent: the last events, the oldest first; heartbeats are not among them.
    :ivar leader: the beat that leads, as the events tell; None: nobody, or not known yet.
    :ivar beats: every beat that was heard of since the start, by token.
    """

    def __init__(self, clock: Callable[[], float], app: Celery | None = None) -> None:
        """
        :param clock: gives the present in Unix seconds.
        :param app: gives crontabs their time zone.
        """
        self._clock = clock
        self._app = app
        self._rows: dict[str, Row] = {}
        self.link = Link("connecting")
        self.link_since = clock()
        self.seq = 0
        self.recent: deque[Event] = deque(maxlen=RECENT)
        self.leader: Beat | None = None
        self.beats: dict[str, Beat] = {}
        self._skew = 0.0

    @property
    def rows(self) -> Mapping[str, Row]:
        """Every entry, in no order. Read-only, and always as it is now."""
        return MappingProxyType(self._rows)

    @property
    def live(self) -> bool:
        """Whether what the rows say is how things are, as far as anybody can know."""
        return self.link.state == "live"

    def now(self) -> float:
        """The present by the leader's clock, which its due times are told in: Unix seconds."""
        return self._clock() + self._skew

    def prepare(self, snapshot: Snapshot, *, defer: bool = False) -> SnapshotRows:
        """Turn *snapshot* into rows. Touches nothing of the model: for another thread.

        :param defer: where there are many, leave them to be decoded by a thread that then
            passes :class:`Decoded` to :meth:`apply`.
        """
        app, deferred = self._app, defer and len(snapshot.records) > LARGE
        rows = [Row(record, app, deferred=deferred) for record in snapshot.records]
        rows.sort(key=_soonest)
        return SnapshotRows({row.name: row for row in rows}, snapshot.seq, snapshot.taken_at)

    def apply(self, item: Item | SnapshotRows | Decoded) -> Delta:
        """Take in what the event stream said. Never raises for what is in it.

        Repeating it changes nothing: events carry state, not steps.
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
        # The same mapping as ever: somebody may hold on to it.
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
        told: list[Event] = []
        for event in events:
            if event.type == BEAT_HEARTBEAT:
                facts = self._heard(event) or facts
                continue
            if event.seq <= self.seq:
                # Heard before, or in the snapshot already: newer events may have followed it.
                continue
            self.seq = event.seq
            told.append(event)
            if event.type == LEADER_CHANGED:
                self._leads(event)
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
        self.recent.extend(told[-RECENT:])
        return Delta(frozenset(changed), frozenset(removed), facts=facts, events=tuple(told))

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

    def _heard(self, event: Event) -> bool:
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

    def _leads(self, event: Event) -> None:
        token = event.data.get("leader")
        if not isinstance(token, str) or not token:
            self.leader = None
            return
        told = _beat(event)
        known = self.beats.get(token)
        self.leader = Beat(
            token=token,
            host=told.host,
            pid=told.pid,
            role="leader",
            at=told.at,
            delivery=told.delivery or (known.delivery if known else ""),
        )
        self.beats[token] = self.leader


def _soonest(row: Row) -> tuple[float, str]:
    return row.waits_until, row.name


def _fields(data: Mapping[str, Any]) -> dict[str, str | None]:
    """The hash fields in an event's data; what is no text is left out, for anybody may publish."""
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


def _beat(event: Event) -> Beat:
    data = event.data
    token, host, pid = data.get("token", event.subject), data.get("host"), data.get("pid")
    role, delivery, lag = data.get("role"), data.get("delivery"), data.get("lag")
    if isinstance(pid, str) and pid.isascii() and pid.isdigit() and len(pid) < 20:
        pid = int(pid)
    return Beat(
        token=token if isinstance(token, str) else "",
        host=host if isinstance(host, str) else "",
        pid=pid if isinstance(pid, int) else None,
        role=role if isinstance(role, str) else "",
        at=event.time.timestamp(),
        delivery=delivery if isinstance(delivery, str) else "",
        lag=float(lag) if isinstance(lag, int | float) else None,
    )
