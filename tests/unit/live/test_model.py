"""The model: the status and the reason of each entry, and how events change them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from redbeat_core import events
from redbeat_core.entries.record import EntryRecord
from redbeat_core.events import Changes, Event, Link, Reconciled, Snapshot
from redbeat_tui.live.model import LARGE, RECENT, Decoded, Delta, Model
from redbeat_tui.live.row import Row
from tests.support.rows import NOW, definition, meta, outcome, paused, record, row


def model_with(*records: EntryRecord, seq: int = 10) -> Model:
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
def test_a_row_has_the_status_of_its_record(entry: Row, status: str, reason: str) -> None:
    assert (entry.status, entry.facts.reason) == (status, reason)


def test_an_entry_that_cannot_run_is_invalid_whatever_else_it_is() -> None:
    broken = row("a", definition="{", state=paused("x"), outcome=outcome("succeeded"))
    assert broken.status == broken.status_at(NOW + 1000) == "invalid"
    assert broken.facts.reason
    assert broken.facts.due is None


def test_the_outcome_of_an_earlier_run_is_not_shown_for_the_last() -> None:
    """The run at NOW is dispatched, and no worker has reported it yet."""
    assert row("a", meta=meta(NOW), outcome=outcome("succeeded", NOW - 60)).status == "dispatched"
    assert row("a", meta=meta(NOW), outcome=outcome("succeeded", NOW - 1)).status == "succeeded"


def test_an_entry_is_late_after_being_due_for_five_seconds() -> None:
    entry = row("a", 0, meta=meta(NOW - 60), outcome=outcome("succeeded", NOW - 59))
    assert entry.status_at(NOW + 4) == "succeeded"
    assert entry.status_at(NOW + 5) == "late"
    assert entry.reason_at(NOW + 5) == "not dispatched yet"


def test_no_entry_is_late_while_the_data_may_be_old() -> None:
    assert row("a", -3600).status_at(None) == "waiting"


@pytest.mark.parametrize("entry", [row("a", -99, state=paused()), row("a", -99, enabled=False)])
def test_an_entry_that_is_not_scheduled_is_not_late(entry: Row) -> None:
    assert entry.status_at(NOW) == entry.status
    assert entry.waits_until == float("inf")


def test_a_snapshot_replaces_everything() -> None:
    model = model_with(record("old"))
    rows = model.rows
    delta = model.apply(Snapshot((record("new"),), 99, NOW))
    assert delta.all
    assert list(model.rows) == list(rows) == ["new"], "whoever holds the rows sees them change"
    assert model.seq == 99


def test_the_rows_of_a_snapshot_come_the_soonest_first() -> None:
    made = Model(lambda: NOW).prepare(
        Snapshot((record("b", 9), record("c", None), record("a", 5)), 1, NOW)
    )
    assert list(made.rows) == ["a", "b", "c"]


def test_an_event_touches_only_its_own_row() -> None:
    model = model_with(record("a"), record("b"))
    before = model.rows["b"]
    fields = {"meta": meta(NOW)}
    delta = model.apply(changes(event(events.RUN_DISPATCHED, "a", fields=fields, score=NOW + 120)))
    assert delta.changed == {"a"}
    assert not delta.all
    assert model.rows["a"].facts.due == NOW + 120
    assert model.rows["a"].facts.last_run == NOW
    assert model.rows["b"] is before


def test_an_event_of_an_unknown_type_is_applied_by_its_fields() -> None:
    model = model_with(record("a"))
    model.apply(changes(event("redbeat.entry.renumbered", "a", fields={"state": paused("why")})))
    assert model.rows["a"].status == "paused"
    assert model.rows["a"].record.score == NOW + 60, "what an event does not name stays"


def test_a_created_entry_appears_and_a_deleted_one_is_gone() -> None:
    model = model_with()
    fields = {"definition": definition("a")}
    assert model.apply(
        changes(event(events.ENTRY_CREATED, "a", fields=fields, score=NOW))
    ).changed == {"a"}
    delta = model.apply(changes(event(events.ENTRY_DELETED, "a", 12)))
    assert delta.changed == set()
    assert delta.removed == {"a"}
    assert not model.rows
    assert not model.apply(changes(event(events.ENTRY_DELETED, "a", 13))).removed


def test_an_entry_deleted_and_created_in_one_batch_is_a_change() -> None:
    model = model_with(record("a"))
    delta = model.apply(
        changes(
            event(events.ENTRY_DELETED, "a"),
            event(events.ENTRY_CREATED, "a", 12, fields={"definition": definition("a")}, score=NOW),
        )
    )
    assert delta.changed == {"a"}
    assert delta.removed == set()


def test_an_event_about_an_unknown_entry_creates_none() -> None:
    model = model_with()
    delta = model.apply(
        changes(event(events.RUN_DISPATCHED, "ghost", fields={"meta": meta(NOW)}, score=NOW))
    )
    assert not model.rows
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
def test_an_event_with_invalid_data_changes_nothing(data: dict[str, Any]) -> None:
    model = model_with(record("a"))
    model.apply(changes(event(events.RUN_FAILED, "a", **data)))
    assert model.rows["a"] == Row(record("a"))
    assert model.rows["a"].reason_at(NOW)


def test_events_that_arrive_twice_are_applied_once() -> None:
    batch = changes(
        event(events.ENTRY_CREATED, "b", 11, fields={"definition": definition("b")}, score=NOW),
        event(events.ENTRY_PAUSED, "b", 12, fields={"state": paused()}),
        event(events.ENTRY_DELETED, "a", 13),
    )
    model = model_with(record("a"))
    model.apply(batch)
    once = dict(model.rows)
    model.apply(batch)
    assert dict(model.rows) == once


def test_changes_by_another_program_are_applied_by_reconciling() -> None:
    model = model_with(record("a"), record("b"), record("same"))
    same = model.rows["same"]
    delta = model.apply(Reconciled((record("a", 5), record("c"), record("same")), ("b", "never")))
    assert delta.changed == {"a", "c"}
    assert delta.removed == {"b"}
    assert model.rows["a"].facts.due == NOW + 5
    assert model.rows["same"] is same


def test_the_reason_of_an_unpublished_run_is_shown_until_the_next_event() -> None:
    model = model_with(record("a", -60))
    model.apply(changes(event(events.RUN_FAILED, "a", reason="no broker", nominal=NOW)))
    assert model.rows["a"].reason_at(NOW) == "not published: no broker"
    model.apply(
        changes(event(events.RUN_DISPATCHED, "a", 12, fields={"meta": meta(NOW)}, score=NOW + 60))
    )
    assert model.rows["a"].reason_at(NOW) == ""


def test_a_requested_run_shows_on_its_row() -> None:
    model = model_with(record("a"))
    asked = event(events.RUN_REQUESTED, "a", trigger="t1", actor="anna@ops", note="")
    delta = model.apply(changes(asked))
    assert delta.changed == {"a"}
    assert delta.events == (asked,)
    assert model.rows["a"].reason_at(NOW) == "run requested by anna@ops"
    model.apply(changes(event(events.RUN_DISPATCHED, "a", 12, trigger="t1")))
    assert model.rows["a"].reason_at(NOW) == "dispatched on request"


def test_the_last_events_are_kept_and_heartbeats_are_not() -> None:
    model = model_with(record("a"))
    some = [event(events.RUN_MISSED, "a", 11 + n, count=n) for n in range(RECENT + 5)]
    model.apply(Changes((*some, event(events.BEAT_HEARTBEAT, "t", token="t", role="standby"))))
    assert list(model.recent) == some[-RECENT:]
    assert model.seq == some[-1].seq


def test_the_leader_is_known_from_the_events() -> None:
    model = model_with()
    assert model.leader is None
    event_ = event(
        events.LEADER_CHANGED, "", leader="host:7:x", host="host", pid=7, reason="took it"
    )
    assert model.apply(changes(event_)).facts
    assert model.leader is not None
    assert (model.leader.host, model.leader.pid) == ("host", 7)
    beat = {
        "token": "host:7:x",
        "host": "host",
        "pid": 7,
        "role": "leader",
        "delivery": "exactly-once",
    }
    assert model.apply(changes(event(events.BEAT_HEARTBEAT, "host:7:x", **beat))).facts
    assert model.leader.delivery == "exactly-once"
    assert not model.apply(changes(event(events.BEAT_HEARTBEAT, "host:7:x", **beat))).facts
    model.apply(changes(event(events.LEADER_CHANGED, "", 12, leader=None, reason="stopped")))
    assert model.leader is None


def test_the_present_follows_the_leaders_clock_where_the_two_differ() -> None:
    model = model_with()
    ahead: dict[str, Any] = {"token": "t", "role": "leader"}
    model.apply(changes(event(events.BEAT_HEARTBEAT, "t", at=NOW + 90, **ahead)))
    assert model.now() == NOW + 90
    model.apply(changes(event(events.BEAT_HEARTBEAT, "t", at=NOW - 0.5, **ahead)))
    assert model.now() == NOW


def test_the_model_keeps_the_time_of_the_links_last_change() -> None:
    now = NOW
    model = Model(lambda: now)
    assert not model.live
    now += 5
    assert model.apply(Link("live")).facts
    assert model.live
    assert model.link_since == NOW + 5
    now += 5
    assert not model.apply(Link("live"))
    assert model.link_since == NOW + 5


def test_two_changes_combine_in_their_order() -> None:
    first = Delta(changed=frozenset("ab"), removed=frozenset("c"))
    second = Delta(changed=frozenset("c"), removed=frozenset("a"), facts=True)
    assert first.then(second) == Delta(frozenset("bc"), frozenset("a"), facts=True)
    assert first.then(Delta(all=True)).all
    assert not Delta()
    assert not Delta().then(Delta())
    assert Delta(facts=True)


def test_a_large_schedule_is_not_decoded_before_it_is_shown() -> None:
    records = tuple(record(f"e{n}", n) for n in range(LARGE + 1))
    model = Model(lambda: NOW)
    prepared = model.prepare(Snapshot(records, 1, NOW), defer=True)
    model.apply(prepared)
    entry = model.rows["e5"]
    assert not entry.ready
    entry.warm()
    assert entry.ready
    delta = model.apply(Decoded(frozenset(["e5", "gone"])))
    assert delta.decoded == {"e5"}
    assert delta.changed == set()


def test_a_run_does_not_describe_the_schedule_again() -> None:
    model = model_with(record("a"))
    words = model.rows["a"].facts.schedule
    model.apply(changes(event(events.RUN_DISPATCHED, "a", fields={"meta": meta(NOW)}, score=NOW)))
    assert model.rows["a"].facts.schedule is words


def test_a_row_is_equal_to_another_of_the_same_record() -> None:
    assert row("a") == row("a")
    assert row("a") != row("a", 61)
    assert row("a") != "a"
    assert Row(replace(record("a"), policy="{}")) != row("a")
