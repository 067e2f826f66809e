"""What the console says of an entry, and how it follows the events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from redbeat_core import events
from redbeat_core.events import Changes, Event, Link, Reconciled, Snapshot
from redbeat_core.record import EntryRecord
from redbeat_tui.model import LARGE, RECENT, Decoded, Delta, Model
from redbeat_tui.row import Row
from tests.support.rows import NOW, definition, meta, outcome, paused, record, row


def model(*records: EntryRecord, seq: int = 10) -> Model:
    made = Model(lambda: NOW)
    made.apply(Snapshot(records, seq, NOW))
    made.apply(Link("live"))
    return made


def event(type_: str, subject: str, seq: int = 11, at: float = NOW, **data: Any) -> Event:
    moment = datetime.fromtimestamp(at, UTC)
    return Event(f"id-{seq}", "/redbeat/test", type_, subject, moment, seq, data)


def changes(*some: Event) -> Changes:
    return Changes(some)


@pytest.mark.parametrize(
    ("entry", "status", "reason"),
    [
        (row("a"), "waiting", ""),
        (row("a", meta=meta(NOW - 60, runs=0)), "waiting", ""),
        (row("a", meta=meta(NOW - 60)), "dispatched", ""),
        (row("a", meta=meta(NOW), outcome=outcome("started")), "running", ""),
        (row("a", meta=meta(NOW), outcome=outcome("succeeded")), "succeeded", ""),
        (row("a", meta=meta(NOW), outcome=outcome("errored", error="E: x")), "failed", "E: x"),
        (row("a", meta=meta(NOW), outcome=outcome("retried", error="E: y")), "retrying", "E: y"),
        (row("a", meta=meta(NOW), outcome=outcome("revoked")), "revoked", ""),
        (row("a", meta=meta(NOW), outcome=outcome("brand-new")), "dispatched", ""),
        (row("a", enabled=False), "disabled", ""),
        (row("a", state=paused("migration")), "paused", "migration by anna@ops"),
        (row("a", state=paused(by="")), "paused", ""),
        (row("a", state=paused(), enabled=False), "paused", "by anna@ops"),
        (row("a", None), "finished", ""),
        (row("a", None, meta=meta(NOW), outcome=outcome("succeeded")), "finished", ""),
        (row("a", None, meta=meta(NOW), outcome=outcome("errored", error="E")), "failed", "E"),
        (row("a", None, meta=meta(NOW), outcome=outcome("started")), "running", ""),
    ],
)
def test_a_row_has_the_status_that_its_record_tells(entry: Row, status: str, reason: str) -> None:
    assert (entry.status, entry.facts.reason) == (status, reason)


def test_an_entry_that_cannot_run_is_invalid_whatever_else_it_is() -> None:
    broken = row("a", definition="{", state=paused("x"), outcome=outcome("succeeded"))
    assert broken.status == broken.status_at(NOW + 1000) == "invalid"
    assert broken.facts.reason
    assert broken.facts.due is None


def test_the_outcome_of_an_earlier_run_is_not_told_as_that_of_the_last() -> None:
    """The run at NOW was sent, and nobody has heard of it yet."""
    assert row("a", meta=meta(NOW), outcome=outcome("succeeded", NOW - 60)).status == "dispatched"
    assert row("a", meta=meta(NOW), outcome=outcome("succeeded", NOW - 1)).status == "succeeded"


def test_what_is_due_and_was_not_dispatched_is_late_once_it_has_been_for_seconds() -> None:
    entry = row("a", 0, meta=meta(NOW - 60), outcome=outcome("succeeded", NOW - 59))
    assert entry.status_at(NOW + 4) == "succeeded"
    assert entry.status_at(NOW + 5) == "late"
    assert entry.reason_at(NOW + 5) == "not dispatched yet"


def test_nothing_is_called_late_while_the_data_may_be_old() -> None:
    assert row("a", -3600).status_at(None) == "waiting"


@pytest.mark.parametrize("entry", [row("a", -99, state=paused()), row("a", -99, enabled=False)])
def test_what_does_not_run_is_not_late(entry: Row) -> None:
    assert entry.status_at(NOW) == entry.status
    assert entry.waits_until == float("inf")


def test_a_snapshot_replaces_everything() -> None:
    known = model(record("old"))
    rows = known.rows
    delta = known.apply(Snapshot((record("new"),), 99, NOW))
    assert delta.all
    assert list(known.rows) == list(rows) == ["new"], "whoever holds the rows sees them change"
    assert known.seq == 99


def test_the_rows_of_a_snapshot_come_the_soonest_first() -> None:
    made = Model(lambda: NOW).prepare(
        Snapshot((record("b", 9), record("c", None), record("a", 5)), 1, NOW)
    )
    assert list(made.rows) == ["a", "b", "c"]


def test_an_event_touches_only_its_own_row() -> None:
    known = model(record("a"), record("b"))
    before = known.rows["b"]
    fields = {"meta": meta(NOW)}
    delta = known.apply(changes(event(events.RUN_DISPATCHED, "a", fields=fields, score=NOW + 120)))
    assert delta.changed == {"a"}
    assert not delta.all
    assert known.rows["a"].facts.due == NOW + 120
    assert known.rows["a"].facts.last_run == NOW
    assert known.rows["b"] is before


def test_an_event_of_an_unknown_type_is_applied_by_its_fields() -> None:
    known = model(record("a"))
    known.apply(changes(event("redbeat.entry.renumbered", "a", fields={"state": paused("why")})))
    assert known.rows["a"].status == "paused"
    assert known.rows["a"].record.score == NOW + 60, "what an event does not name stays"


def test_a_created_entry_appears_and_a_deleted_one_is_gone() -> None:
    known = model()
    fields = {"definition": definition("a")}
    assert known.apply(
        changes(event(events.ENTRY_CREATED, "a", fields=fields, score=NOW))
    ).changed == {"a"}
    delta = known.apply(changes(event(events.ENTRY_DELETED, "a", 12)))
    assert delta.changed == set()
    assert delta.removed == {"a"}
    assert not known.rows
    assert not known.apply(changes(event(events.ENTRY_DELETED, "a", 13))).removed


def test_deleted_and_made_again_in_one_go_is_a_change() -> None:
    known = model(record("a"))
    delta = known.apply(
        changes(
            event(events.ENTRY_DELETED, "a"),
            event(events.ENTRY_CREATED, "a", 12, fields={"definition": definition("a")}, score=NOW),
        )
    )
    assert delta.changed == {"a"}
    assert delta.removed == set()


def test_a_change_of_an_entry_that_is_not_there_makes_none() -> None:
    known = model()
    delta = known.apply(
        changes(event(events.RUN_DISPATCHED, "ghost", fields={"meta": meta(NOW)}, score=NOW))
    )
    assert not known.rows
    assert not delta.changed


@pytest.mark.parametrize(
    "data",
    [
        {"fields": []},
        {"fields": {"definition": 5, "meta": ["x"], "unknown": "y"}},
        {"fields": None, "score": "soon"},
        {"score": True},
        {"score": 10**400},
        {"score": float("nan")},
        {"reason": {"x": 1}},
    ],
)
def test_an_event_that_makes_no_sense_changes_nothing(data: dict[str, Any]) -> None:
    known = model(record("a"))
    known.apply(changes(event(events.RUN_FAILED, "a", **data)))
    assert known.rows["a"] == Row(record("a"))
    assert known.rows["a"].reason_at(NOW)


def test_events_twice_are_events_once() -> None:
    told = changes(
        event(events.ENTRY_CREATED, "b", 11, fields={"definition": definition("b")}, score=NOW),
        event(events.ENTRY_PAUSED, "b", 12, fields={"state": paused()}),
        event(events.ENTRY_DELETED, "a", 13),
    )
    known = model(record("a"))
    known.apply(told)
    once = dict(known.rows)
    known.apply(told)
    assert dict(known.rows) == once


def test_what_another_program_did_is_found_by_reconciling() -> None:
    known = model(record("a"), record("b"), record("same"))
    same = known.rows["same"]
    delta = known.apply(Reconciled((record("a", 5), record("c"), record("same")), ("b", "never")))
    assert delta.changed == {"a", "c"}
    assert delta.removed == {"b"}
    assert known.rows["a"].facts.due == NOW + 5
    assert known.rows["same"] is same


def test_why_a_run_was_not_published_is_shown_until_something_else_happens() -> None:
    known = model(record("a", -60))
    known.apply(changes(event(events.RUN_FAILED, "a", reason="no broker", nominal=NOW)))
    assert known.rows["a"].reason_at(NOW) == "not published: no broker"
    known.apply(
        changes(event(events.RUN_DISPATCHED, "a", 12, fields={"meta": meta(NOW)}, score=NOW + 60))
    )
    assert known.rows["a"].reason_at(NOW) == ""


def test_a_requested_run_shows_on_its_row() -> None:
    known = model(record("a"))
    asked = event(events.RUN_REQUESTED, "a", trigger="t1", actor="anna@ops", note="")
    delta = known.apply(changes(asked))
    assert delta.changed == {"a"}
    assert delta.events == (asked,)
    assert known.rows["a"].reason_at(NOW) == "run requested by anna@ops"
    known.apply(changes(event(events.RUN_DISPATCHED, "a", 12, trigger="t1")))
    assert known.rows["a"].reason_at(NOW) == "dispatched on request"


def test_the_last_events_are_kept_and_heartbeats_are_not() -> None:
    known = model(record("a"))
    some = [event(events.RUN_MISSED, "a", 11 + n, count=n) for n in range(RECENT + 5)]
    known.apply(Changes((*some, event(events.BEAT_HEARTBEAT, "t", token="t", role="standby"))))
    assert list(known.recent) == some[-RECENT:]
    assert known.seq == some[-1].seq


def test_who_leads_is_known_from_the_events() -> None:
    known = model()
    assert known.leader is None
    told = event(events.LEADER_CHANGED, "", leader="host:7:x", host="host", pid=7, reason="took it")
    assert known.apply(changes(told)).facts
    assert known.leader is not None
    assert (known.leader.host, known.leader.pid) == ("host", 7)
    beat = {
        "token": "host:7:x",
        "host": "host",
        "pid": 7,
        "role": "leader",
        "delivery": "exactly-once",
    }
    assert known.apply(changes(event(events.BEAT_HEARTBEAT, "host:7:x", **beat))).facts
    assert known.leader.delivery == "exactly-once"
    assert not known.apply(changes(event(events.BEAT_HEARTBEAT, "host:7:x", **beat))).facts
    known.apply(changes(event(events.LEADER_CHANGED, "", 12, leader=None, reason="stopped")))
    assert known.leader is None


def test_the_present_is_told_by_the_leaders_clock_where_the_two_differ() -> None:
    known = model()
    ahead: dict[str, Any] = {"token": "t", "role": "leader"}
    known.apply(changes(event(events.BEAT_HEARTBEAT, "t", at=NOW + 90, **ahead)))
    assert known.now() == NOW + 90
    known.apply(changes(event(events.BEAT_HEARTBEAT, "t", at=NOW - 0.5, **ahead)))
    assert known.now() == NOW


def test_the_link_says_since_when() -> None:
    now = NOW
    known = Model(lambda: now)
    assert not known.live
    now += 5
    assert known.apply(Link("live")).facts
    assert known.live
    assert known.link_since == NOW + 5
    now += 5
    assert not known.apply(Link("live"))
    assert known.link_since == NOW + 5


def test_two_changes_are_one_change_after_the_other() -> None:
    first = Delta(changed=frozenset("ab"), removed=frozenset("c"))
    second = Delta(changed=frozenset("c"), removed=frozenset("a"), facts=True)
    assert first.then(second) == Delta(frozenset("bc"), frozenset("a"), facts=True)
    assert first.then(Delta(all=True)).all
    assert not Delta()
    assert not Delta().then(Delta())
    assert Delta(facts=True)


def test_a_large_schedule_is_not_decoded_before_it_is_shown() -> None:
    records = tuple(record(f"e{n}", n) for n in range(LARGE + 1))
    known = Model(lambda: NOW)
    prepared = known.prepare(Snapshot(records, 1, NOW), defer=True)
    known.apply(prepared)
    entry = known.rows["e5"]
    assert not entry.ready
    entry.warm()
    assert entry.ready
    delta = known.apply(Decoded(frozenset(["e5", "gone"])))
    assert delta.decoded == {"e5"}
    assert delta.changed == set()


def test_a_run_does_not_cost_the_description_of_the_schedule_again() -> None:
    known = model(record("a"))
    words = known.rows["a"].facts.schedule
    known.apply(changes(event(events.RUN_DISPATCHED, "a", fields={"meta": meta(NOW)}, score=NOW)))
    assert known.rows["a"].facts.schedule is words


def test_a_row_is_equal_to_another_of_the_same_record() -> None:
    assert row("a") == row("a")
    assert row("a") != row("a", 61)
    assert row("a") != "a"
    assert Row(replace(record("a"), policy="{}")) != row("a")
