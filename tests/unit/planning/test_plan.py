"""What to do with a due entry: decided without Redis and without a clock of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.schedules import crontab, schedule
from hypothesis import given
from hypothesis import strategies as st

from redbeat_core import rrule
from redbeat_core.entries.due_field import score_is_ours
from redbeat_core.entries.record import EntryRecord
from redbeat_core.planning.plan import Plan, RunsNotMade, next_after_edit, plan

APP = Celery(set_as_current=False)
APP.conf.update(timezone="UTC", enable_utc=True)
STANDS_FOR_ALL = "one run stands for all that came due meanwhile"
NOW = datetime(2026, 3, 10, 12, 0, 0, tzinfo=UTC)


def ours(score: datetime) -> EntryRecord:
    return EntryRecord("x", score.timestamp(), due=repr(score.timestamp()))


def foreign(score: datetime) -> EntryRecord:
    return EntryRecord("x", score.timestamp())


def every(seconds: float) -> dict[str, Any]:
    return {"schedule": schedule(seconds, app=APP)}


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def test_our_score_is_the_nominal_time() -> None:
    late = NOW - seconds(0.3)
    assert plan(ours(late), every(10), late - seconds(9.7), NOW) == Plan(late, late + seconds(10))


@given(delays=st.lists(st.floats(0, 0.999), min_size=1, max_size=60))
def test_an_interval_does_not_drift_whatever_the_delays(delays: list[float]) -> None:
    nominal = NOW
    for delay in delays:
        decided = plan(ours(nominal), every(1), None, nominal + seconds(delay))
        assert decided.missed == 0
        assert decided.next is not None
        nominal = decided.next
    assert nominal == NOW + seconds(len(delays))


def test_a_long_absence_is_one_run_and_a_count() -> None:
    decided = plan(ours(NOW - seconds(95)), every(10), None, NOW)
    gap = RunsNotMade(False, NOW - seconds(85), NOW - seconds(5), 9, STANDS_FOR_ALL)
    assert decided == Plan(NOW - seconds(95), NOW + seconds(5), (gap,))
    assert decided.missed == 9


def test_a_foreign_score_that_is_too_early_is_moved() -> None:
    last = NOW - seconds(3)
    assert plan(foreign(NOW - seconds(1)), every(10), last, NOW) == Plan(None, NOW + seconds(7))


def test_a_foreign_score_that_is_due_runs_at_its_true_time() -> None:
    last = NOW - seconds(12)
    decided = plan(foreign(NOW), every(10), last, NOW)
    assert decided == Plan(NOW - seconds(2), NOW + seconds(8))


def test_an_entry_that_never_ran_runs_now() -> None:
    decided = plan(foreign(NOW), {"schedule": crontab(app=APP)}, None, NOW)
    assert decided.nominal == NOW
    assert decided.next == NOW + seconds(60)


def test_a_rule_does_not_run_before_it_starts() -> None:
    start = NOW + timedelta(days=2)
    rule = rrule("DAILY", dtstart=start, app=APP)
    assert plan(foreign(NOW), {"schedule": rule}, None, NOW) == Plan(None, start)


def test_a_disabled_entry_is_taken_off_the_schedule() -> None:
    assert plan(ours(NOW), {**every(10), "enabled": False}, None, NOW) == Plan(None, None)


def test_the_last_run_of_a_rule_finishes_it() -> None:
    rule = rrule("DAILY", dtstart=NOW - timedelta(days=2), count=3, app=APP)
    decided = plan(ours(NOW), {"schedule": rule}, NOW - timedelta(days=1), NOW)
    assert decided == Plan(NOW, None, finished=True)


def test_a_foreign_score_of_a_rule_that_is_over_finishes_it() -> None:
    rule = rrule("DAILY", dtstart=NOW - timedelta(days=9), count=3, app=APP)
    decided = plan(foreign(NOW), {"schedule": rule}, NOW - timedelta(days=1), NOW)
    assert decided == Plan(None, None, finished=True)


def test_a_crontab_within_its_deadline_runs() -> None:
    minutely = {"schedule": crontab(app=APP)}
    decided = plan(ours(NOW - seconds(300)), minutely, None, NOW, deadline=120)
    assert decided.nominal == NOW - seconds(120)
    late, stood_for = decided.gaps
    assert (late.first, late.last, late.count) == (NOW - seconds(300), NOW - seconds(180), 3)
    assert "beat_cron_starting_deadline" in late.reason
    assert (stood_for.first, stood_for.last) == (NOW - seconds(60), NOW)


@pytest.mark.parametrize(
    ("due", "score", "expected"),
    [("5.0", 5.0, True), ("5.5", 5.0, False), (None, 5.0, False), ("x", 5.0, False)],
)
def test_whose_score_it_is(due: str | None, score: float, expected: bool) -> None:
    assert score_is_ours(EntryRecord("x", score, due=due)) is expected


def test_an_edited_interval_goes_on_from_the_last_run() -> None:
    new = schedule(30, app=APP)
    assert next_after_edit(new, NOW - seconds(100), NOW) == NOW + seconds(20)
    assert next_after_edit(new, None, NOW) == NOW + seconds(30)
    assert next_after_edit(new, NOW + timedelta(days=1), NOW) == NOW + seconds(30)


def test_an_edited_crontab_never_runs_at_once() -> None:
    new = crontab(hour=11, minute=0, app=APP)
    assert next_after_edit(new, NOW - timedelta(days=1), NOW) == NOW + timedelta(hours=23)
