"""The pure parts behind the screens: counting, following a run, texts of events, lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from redbeat_core import events
from redbeat_core.events import Event
from redbeat_tui.cli.show import description, entry_json
from redbeat_tui.live.model import Delta
from redbeat_tui.live.requested_runs import TriggerFollower
from redbeat_tui.live.row import Row
from redbeat_tui.live.tally import Tally, count
from redbeat_tui.screens.help import STATUS
from redbeat_tui.text.event_text import describe_event
from redbeat_tui.widgets.line import Part, fit
from tests.support.rows import NOW, meta, outcome, record

TYPES = [
    value for name, value in vars(events).items() if isinstance(value, str) and "redbeat." in value
]
ODD: tuple[Any, ...] = (None, 0, -1, 1.5, [], {}, "", "\x1b]52;c;x\x07", "[/nope]", True)


def event(type_: str, name: str = "first", **data: Any) -> Event:
    return Event("id", "/test", type_, name, datetime.fromtimestamp(NOW, UTC), 1, data)


@pytest.mark.parametrize("type_", [*TYPES, "redbeat.some.thing", "", "\x1b[2J"])
@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_any_event_can_be_described(type_: str, odd: Any) -> None:
    keys = (
        "args",
        "kwargs",
        "queue",
        "reason",
        "actor",
        "note",
        "trigger",
        "missed",
        "count",
        "more",
        "fields",
        "leader",
        "host",
        "pid",
    )
    text, _ = describe_event(event(type_, **dict.fromkeys(keys, odd)))
    assert "\x1b" not in text
    assert "\x07" not in text


def test_the_number_of_missed_runs_is_shown() -> None:
    late = {"reason": "late by more than its grace of 60 s"}
    assert (
        describe_event(event(events.RUN_MISSED, count=1, **late))[0] == f"missed: {late['reason']}"
    )
    text, _ = describe_event(event(events.RUN_MISSED, count=1440, **late))
    assert text == f"1,440 runs missed: {late['reason']}"
    text, _ = describe_event(event(events.RUN_SKIPPED, count=10101, more=True))
    assert text == "more than 10,101 runs skipped"


def test_a_run_is_followed_from_the_request_to_its_end() -> None:
    follower = TriggerFollower()
    assert follower.request("t1", "first", NOW).stage == "requested"
    stages = []
    for type_ in (events.RUN_REQUESTED, events.RUN_DISPATCHED, events.RUN_STARTED):
        stages += [run.stage for run in follower.offer([event(type_, trigger="t1")])]
    outcome = json.dumps({"status": "succeeded", "runtime": 1.234})
    done = event(events.RUN_SUCCEEDED, trigger="t1", fields={"outcome": outcome})
    (run,) = follower.offer([done])
    assert [*stages, run.stage] == ["requested", "dispatched", "running", "succeeded"]
    assert run.detail == "1.23 s"
    assert run.ended


def test_an_event_that_arrives_before_the_answer_to_the_request_is_kept() -> None:
    follower = TriggerFollower()
    follower.offer([event(events.RUN_DISPATCHED, trigger="t1", task_id="abc")])
    run = follower.request("t1", "first", NOW)
    assert (run.stage, run.task_id) == ("dispatched", "abc")


@pytest.mark.parametrize(
    ("type_", "word"),
    [
        (events.RUN_STARTED, "running"),
        (events.RUN_SUCCEEDED, "succeeded"),
        (events.RUN_ERRORED, "failed"),
        (events.RUN_RETRIED, "retrying"),
        (events.RUN_REVOKED, "revoked"),
    ],
)
def test_every_surface_shows_the_same_word_for_an_outcome(type_: str, word: str) -> None:
    row = Row(record("first", meta=meta(NOW), outcome=outcome(type_.rpartition(".")[2])))
    shown = entry_json(row, NOW)
    assert row.status == word
    assert (shown["status"], shown["outcome"]["status"]) == (word, word)
    assert word in STATUS, "the help explains it"
    assert describe_event(event(type_))[0] == word
    (run,) = TriggerFollower().offer([event(type_, trigger="t1")])
    assert run.stage == word
    assert f"  outcome     {word}" in description(row, NOW, UTC)


@pytest.mark.parametrize(
    ("type_", "word"),
    [
        (events.RUN_FAILED, "not published"),
        (events.RUN_MISSED, "missed"),
        (events.RUN_SKIPPED, "skipped"),
        (events.RUN_DISPATCHED, "dispatched"),
    ],
)
def test_every_surface_shows_the_same_word_for_a_run_without_an_outcome(
    type_: str, word: str
) -> None:
    happened = event(type_, trigger="t1", reason="why")
    assert describe_event(happened)[0].startswith(word)
    assert word in Row(record("first"), event=happened).reason_at(NOW)
    (run,) = TriggerFollower().offer([happened])
    assert run.stage == word
    assert run.unsuccessful is (type_ != events.RUN_DISPATCHED)


def test_a_late_event_does_not_turn_a_run_back() -> None:
    follower = TriggerFollower()
    follower.offer([event(events.RUN_SUCCEEDED, trigger="t1")])
    assert follower.offer([event(events.RUN_DISPATCHED, trigger="t1")]) == []


def test_events_without_a_valid_trigger_are_ignored() -> None:
    follower = TriggerFollower()
    for odd in ODD[:7]:
        assert follower.offer([event(events.RUN_DISPATCHED, trigger=odd)]) == []


def test_the_follower_does_not_grow_without_end() -> None:
    follower = TriggerFollower()
    for number in range(1000):
        follower.offer([event(events.RUN_DISPATCHED, trigger=f"t{number}")])
    assert follower.run("t0") is None
    assert follower.run("t999") is not None


def test_counting_changes_one_by_one_gives_the_same_as_counting_all() -> None:
    rows = {f"e{n}": Row(record(f"e{n}", n - 50)) for n in range(100)}
    whole, stepwise = Tally(), Tally()
    whole.reset(count(rows))
    stepwise.update(rows, Delta(changed=frozenset(rows)))
    assert whole.troubles(NOW) == stepwise.troubles(NOW)
    assert dict(whole.troubles(NOW))["late"] == 46
    assert dict(whole.troubles(None))["late"] == 0
    for name in list(rows)[:60]:
        del rows[name]
    stepwise.update(rows, Delta(removed=frozenset(f"e{n}" for n in range(60))))
    whole.reset(count(rows))
    assert whole.troubles(NOW) == stepwise.troubles(NOW)


@pytest.mark.parametrize("width", range(0, 60, 3))
def test_a_line_never_takes_more_cells_than_there_are(width: int) -> None:
    left = [Part(" name "), Part("定期レポート" * 3, keep=4), Part("spare", optional=True)]
    right = [Part("right", keep=2), Part("!")]
    assert fit(left, right, width).cell_length <= max(width, len("right!"))


def test_a_line_drops_what_is_optional_before_it_cuts() -> None:
    left = [Part("leader", keep=2), Part(" spare", optional=True)]
    assert fit(left, [Part("9 entries")], 17).plain == "leader  9 entries"
    assert fit(left, [Part("9 entries")], 14).plain == "le…  9 entries"


def test_a_request_shows_the_values_that_differ_from_the_entry() -> None:
    asked: dict[str, Any] = {
        "args": ["march\x1b[2J"],
        "queue": "slow",
        "actor": "ana@x",
        "note": "again",
    }
    text, _ = describe_event(event(events.RUN_REQUESTED, trigger="t1", **asked))
    assert text == 'run requested with args ["march\\u001b[2J"] in queue slow by ana@x: again'
    text, _ = describe_event(event(events.RUN_REQUESTED, trigger="t1", kwargs="(5012 characters)"))
    assert text == 'run requested with kwargs "(5012 characters)"'
