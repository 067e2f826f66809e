"""A snapshot and the events after it give the rows that a fresh snapshot would give.

The reference is a dict of records and a log. Events are lost, doubled and reordered, and the
snapshot is taken at any time, also while the records change.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from redbeat_core import events
from redbeat_core.entries.record import HASH_FIELDS, EntryRecord
from redbeat_core.events import Changes, Event, Link, Reconciled, Sequencer, Snapshot
from redbeat_tui.live.filter import parse_filter
from redbeat_tui.live.listing import SORTS, Listing
from redbeat_tui.live.model import Delta, Model
from tests.support.effort import examples
from tests.support.rows import NOW, definition, outcome, paused

NAMES = ("a", "b", "ç")


@dataclass
class Server:
    """The schedule, its log, and its records after each event."""

    records: dict[str, EntryRecord] = field(default_factory=dict)
    log: list[Event] = field(default_factory=list)
    #: The records after each event; the first item is before any event.
    was: list[dict[str, EntryRecord]] = field(default_factory=lambda: [{}])
    trimmed: int = 0
    #: Names that another program wrote, without an event.
    foreign: set[str] = field(default_factory=set)

    @property
    def seq(self) -> int:
        return len(self.log)

    def after(self, seq: int) -> list[Event]:
        return self.log[max(seq, self.trimmed) :]

    def _emit(self, type_: str, name: str, **data: object) -> None:
        seq = self.seq + 1
        at = datetime.fromtimestamp(NOW + seq, UTC)
        self.log.append(Event(f"id{seq}", "/test", type_, name, at, seq, data))
        self.was.append(dict(self.records))

    def _patch(self, type_: str, name: str, score: float, **fields: str | None) -> None:
        if name in self.records:
            self.records[name] = self.records[name].patched(fields, score)
            self._emit(type_, name, fields=fields, score=score)

    def do(self, verb: str, name: str, number: int) -> None:
        record = self.records.get(name)
        score = NOW + number if number % 3 else -1.0
        match verb:
            case "create":
                fields = dict.fromkeys(HASH_FIELDS) | {
                    "definition": definition(name, task=f"t{number}")
                }
                self.records[name] = EntryRecord(name).patched(fields, score)
                self._emit(events.ENTRY_CREATED, name, fields=fields, score=score)
            case "update":
                self._patch(
                    events.ENTRY_UPDATED, name, score, definition=definition(name, args=[number])
                )
            case "pause":
                self._patch(events.ENTRY_PAUSED, name, -1.0, state=paused(str(number)))
            case "resume":
                self._patch(events.ENTRY_RESUMED, name, score, state=None)
            case "dispatch":
                meta = json.dumps({"last_run_at": None, "total_run_count": number})
                self._patch(events.RUN_DISPATCHED, name, score, meta=meta)
            case "outcome" if record is not None:
                # No score, because a worker does not change the next run.
                fields = {"outcome": outcome("errored", error=str(number))}
                self.records[name] = record.patched(fields, record.score)
                self._emit(events.RUN_ERRORED, name, fields=fields)
            case "invalid":
                self._emit(events.ENTRY_INVALID, name, reason="broken")
            case "delete" if record is not None:
                del self.records[name]
                self._emit(events.ENTRY_DELETED, name)
            case "write":
                text = definition(name, task=f"foreign{number}") if number % 4 else "{"
                self.records[name] = EntryRecord(name, score, text)
                self.foreign.add(name)
            case "remove":
                self.records.pop(name, None)
                self.foreign.add(name)
            case "trim":
                self.trimmed = max(self.trimmed, self.seq - number % 4)


class Subscriber:
    """A console with a connection that loses, doubles and reorders messages."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.model = Model(lambda: NOW)
        self.sequencer = Sequencer()
        self.received = 0
        self.listings = [
            Listing(sort, reverse=reverse) for sort in SORTS for reverse in (False, True)
        ]
        self.listings[0].filter = parse_filter("!task:foreign status:w,failed,paused")

    def take(self, item: Link | Snapshot | Changes | Reconciled) -> None:
        delta = self.model.apply(item)
        for listing in self.listings:
            listing.update(self.model.rows, delta)

    def begin(self, number: int) -> None:
        """Take a snapshot: first its position, some events later its records, one by one."""
        server = self.server
        seq = max(server.seq - number % 5, 0)
        records: list[EntryRecord] = []
        for index, name in enumerate(NAMES):
            position = seq + (number // 5 + index) % (server.seq - seq + 1)
            there = server.was[position] if position < server.seq else server.records
            if name in there:
                records.append(there[name])
        self.sequencer = Sequencer(seq)
        self.take(Snapshot(tuple(records), seq, NOW))
        self.received = seq

    def receive(self, number: int) -> None:
        """Receive some of the events that were published since the last call."""
        news = self.server.log[self.received : self.received + 1 + number % 7]
        self.received += len(news)
        if number % 3 == 0:
            news = news[::-1]
        if number % 5 == 0:
            news = news[1:]
        if number % 2 == 0:
            news = news + news
        ready, gap = self.sequencer.offer(news)
        self.take(Changes(tuple(ready)))
        if gap:
            self.repair()

    def repair(self) -> None:
        missing = self.server.after(self.sequencer.seq)
        ready, gap = self.sequencer.offer(missing)
        if gap or (not missing and self.sequencer.seq < self.server.seq):
            self.begin(0)
            return
        for event in ready:  # one by one: the pieces do not matter
            self.take(Changes((event,)))

    def finish(self) -> None:
        self.repair()
        names = self.server.foreign
        records = self.server.records
        self.take(
            Reconciled(
                tuple(records[name] for name in names if name in records),
                tuple(name for name in names if name not in records),
            )
        )


VERBS = (
    *("create", "update", "pause", "resume", "dispatch", "outcome", "invalid", "delete"),
    *("write", "remove", "trim", "begin", "receive", "receive", "twice"),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(VERBS), st.sampled_from(NAMES), st.integers(0, 60)), max_size=40
)


@examples(400)
@example(
    [
        ("create", "a", 0),
        ("create", "a", 1),
        ("trim", "a", 0),
        ("receive", "a", 3),
        ("twice", "a", 0),
    ]
)
@given(STEPS)
def test_any_order_of_deliveries_ends_in_the_current_rows(
    steps: list[tuple[str, str, int]],
) -> None:
    server = Server()
    console = Subscriber(server)
    console.begin(0)
    for verb, name, number in steps:
        match verb:
            case "begin":
                console.begin(number)
            case "receive":
                console.receive(number)
            case "twice":
                console.take(Changes(tuple(console.model.recent)[-1:]))
                console.repair()
            case _:
                server.do(verb, name, number)
    console.finish()

    fresh = Model(lambda: NOW)
    fresh.apply(Snapshot(tuple(server.records.values()), server.seq, NOW))
    assert dict(console.model.rows) == dict(fresh.rows)
    assert {n: r.facts for n, r in console.model.rows.items()} == {
        n: r.facts for n, r in fresh.rows.items()
    }
    assert console.model.seq <= server.seq
    for listing in console.listings:
        same = Listing(listing.sort, reverse=listing.reverse)
        same.arrange(fresh.rows, filter=listing.filter)
        assert [row.name for row in listing.rows] == [row.name for row in same.rows]


CHANGES = st.lists(
    st.lists(st.tuples(st.integers(0, 199), st.none() | st.integers(0, 50)), max_size=150),
    max_size=4,
)


@examples(60)
@given(CHANGES, st.booleans())
def test_many_changes_in_one_pass_are_the_same_as_one_by_one(
    rounds: list[list[tuple[int, int | None]]], reverse: bool
) -> None:
    records = tuple(EntryRecord(f"e{n}", NOW + n % 17, definition(f"e{n}")) for n in range(100))
    model = Model(lambda: NOW)
    model.apply(Snapshot(records, 0, NOW))
    together, single = Listing(reverse=reverse), Listing(reverse=reverse)
    for listing in (together, single):
        listing.arrange(model.rows)
    for changed in rounds:
        delta = Delta()
        for number, due in changed:
            name = f"e{number}"
            item = (
                Reconciled((), (name,))
                if due is None
                else Reconciled((EntryRecord(name, NOW + due, definition(name)),), ())
            )
            change = model.apply(item)
            single.update(model.rows, change)
            delta = delta.then(change)
        together.update(model.rows, delta)
        expected = sorted(model.rows.values(), key=lambda row: (row.waits_until, row.name))
        if reverse:
            expected.reverse()
        assert single.rows == together.rows == expected
