"""A scheduler that was off for a day, a month, a year: what plan() runs, gives up and says."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.schedules import BaseSchedule, crontab, schedule

from redbeat_core import rrule
from redbeat_core.entries.due_field import nominal_of
from redbeat_core.entries.policy import PLAIN, Policy
from redbeat_core.entries.record import EntryRecord
from redbeat_core.planning import missed_runs as backlogs
from redbeat_core.planning.missed_runs import LISTED, backlog
from redbeat_core.planning.plan import Plan, RunsNotMade, counted, plan
from redbeat_core.schedules.types.once import anchored_interval

APP = Celery(set_as_current=False)
APP.conf.update(timezone="UTC", enable_utc=True)
NOW = datetime(2026, 3, 10, 12, 0, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def ours(nominal: datetime) -> EntryRecord:
    return EntryRecord("x", nominal.timestamp(), due=repr(nominal.timestamp()))


def after_a_day_off(policy: Policy, timing: BaseSchedule | None = None) -> Plan:
    """The first plan for an entry of every minute that nobody looked at for a day."""
    minutely = timing or crontab(app=APP)
    return plan(ours(NOW - DAY), {"schedule": minutely}, None, NOW, policy=policy)


def test_one_run_stands_for_a_day() -> None:
    decided = after_a_day_off(PLAIN)
    reason = "one run stands for all that came due meanwhile"
    gap = RunsNotMade(False, NOW - DAY + MINUTE, NOW, 1440, reason)
    assert decided == Plan(NOW - DAY, NOW + MINUTE, (gap,))


def test_one_run_within_its_grace_stands_for_what_came_after_it() -> None:
    decided = after_a_day_off(Policy(grace=300))
    assert decided.nominal == NOW - 5 * MINUTE
    late, stood_for = decided.gaps
    assert late == RunsNotMade(
        False, NOW - DAY, NOW - 6 * MINUTE, 1435, "late by more than its grace of 300 s"
    )
    assert (stood_for.first, stood_for.last, stood_for.count) == (NOW - 4 * MINUTE, NOW, 5)


def test_skipping_leaves_the_newest() -> None:
    decided = after_a_day_off(Policy(catchup="skip", grace=300))
    assert decided.nominal == NOW
    assert decided.next == NOW + MINUTE
    late, skipped = decided.gaps
    assert (late.skipped, late.count) == (False, 1435)
    assert skipped == RunsNotMade(
        True,
        NOW - 5 * MINUTE,
        NOW - MINUTE,
        5,
        "only the newest is run: catch-up is 'skip'",
    )


def test_skipping_without_a_grace_of_its_own_forgives_a_hand_over_and_no_more() -> None:
    daily = {"schedule": crontab(minute=0, hour=12, app=APP)}
    skip = Policy(catchup="skip")
    soon = plan(ours(NOW), daily, None, NOW + timedelta(seconds=59), policy=skip)
    assert soon.nominal == NOW
    late = plan(ours(NOW), daily, None, NOW + timedelta(seconds=61), policy=skip)
    assert late.nominal is None
    assert late.next == NOW + DAY
    assert late.gaps[0].reason == "late by more than 60 s, and catch-up is 'skip'"


def test_all_runs_are_made_up_for_one_by_one_behind_what_is_due_now() -> None:
    decided = after_a_day_off(Policy(catchup="all", catchup_limit=5000))
    assert decided.nominal == NOW - DAY
    assert decided.next == NOW - DAY + MINUTE
    assert decided.gaps == ()
    # Its place in the queue is that of what comes due now; the mark says which run it is.
    assert decided.score == NOW.timestamp()
    mark = decided.due_field(NOW.timestamp())
    record = EntryRecord("x", decided.score, due=mark)
    assert nominal_of(record) == (NOW - DAY + MINUTE).timestamp()


def test_of_too_many_runs_to_make_up_for_the_newest_are_made() -> None:
    decided = after_a_day_off(Policy(catchup="all"))
    assert decided.nominal == NOW - 99 * MINUTE
    (gap,) = decided.gaps
    assert gap == RunsNotMade(
        False,
        NOW - DAY,
        NOW - 100 * MINUTE,
        1341,
        "catch-up makes only the newest 100 missed runs",
    )


@pytest.mark.parametrize("catchup", ["one", "all", "skip"])
@pytest.mark.parametrize(
    "timing",
    [
        crontab(app=APP),
        rrule("MINUTELY", dtstart=NOW - timedelta(days=4000), app=APP),
        schedule(60, app=APP),
        anchored_interval(60, NOW - timedelta(days=4000), app=APP),
    ],
    ids=["crontab", "rrule", "interval", "anchored"],
)
def test_ten_years_off_are_told_from_first_to_last(timing: BaseSchedule, catchup: str) -> None:
    first = NOW - timedelta(days=3650)
    policy = Policy(catchup=catchup, grace=600 if catchup == "skip" else None)
    decided = plan(ours(first), {"schedule": timing}, None, NOW, policy=policy)
    counts = isinstance(timing, schedule) and not isinstance(timing, crontab)
    assert decided.gaps[0].more is not counts
    if counts:
        assert decided.missed == 3650 * 1440 + 1 - (100 if catchup == "all" else 1)
    expected = {"one": first, "all": NOW - 99 * MINUTE, "skip": NOW}
    assert decided.nominal == expected[catchup]
    times = [first + MINUTE if catchup == "one" else first]
    for gap in decided.gaps:
        assert gap.first == times[-1]
        times.append(gap.last + MINUTE)
    assert times[-1] == (NOW + MINUTE if catchup == "one" else expected[catchup])


@pytest.mark.parametrize("listed_late", range(5))
def test_what_is_too_much_to_list_lies_within_one_gap(
    monkeypatch: pytest.MonkeyPatch, listed_late: int
) -> None:
    # The grace ends near the last time that is listed before those that are left out.
    monkeypatch.setattr(backlogs, "LISTED", 12)
    first = NOW - timedelta(minutes=1000)
    grace = 1000 * 60 - (9 + listed_late) * 60
    policy = Policy(catchup="one", grace=grace, catchup_limit=3)
    decided = plan(ours(first), {"schedule": crontab(app=APP)}, None, NOW, policy=policy)
    late, stood_for = decided.gaps
    assert late.first == first
    assert decided.nominal == late.last + MINUTE
    assert stood_for.first == decided.nominal + MINUTE
    assert stood_for.last == NOW
    assert late.more or stood_for.more


def test_after_the_last_run_that_is_allowed_there_are_no_times_to_miss() -> None:
    decided = plan(
        ours(NOW - DAY),
        {"schedule": crontab(app=APP)},
        None,
        NOW,
        policy=Policy(max_runs=3),
        runs=2,
    )
    assert decided == Plan(NOW - DAY, None, finished=True)


def test_an_anchored_interval_that_was_another_before_goes_on_from_its_anchor() -> None:
    timing = anchored_interval(60, NOW - DAY, app=APP)
    first = NOW - timedelta(seconds=150)
    found = backlog(timing, first, NOW)
    assert list(found.times) == [first, NOW - 2 * MINUTE, NOW - MINUTE, NOW]
    assert found.next == NOW + MINUTE


def test_the_newest_runs_of_a_rule_in_bursts_are_found() -> None:
    hours: Any = {"byhour": [9, 10, 11, 12], "bymonthday": [3]}
    rule = rrule("SECONDLY", dtstart=NOW - 400 * DAY, app=APP, **hours)
    first = datetime(2026, 3, 3, 9, 0, 0, tzinfo=UTC)
    found = backlog(rule, first, first + timedelta(seconds=99), newest=5)
    assert (len(found.times), found.hole) == (100, None)
    assert found.next == first + timedelta(seconds=100)
    # Long after the burst, which is longer than what is listed once.
    found = backlog(rule, first, first + DAY, newest=5)
    assert (len(found.times), found.hole) == (4 * 3600, None)
    newest = [datetime(2026, 3, 3, 12, 59, second, tzinfo=UTC) for second in range(55, 60)]
    for years in (0, 1):
        start = first - years * 365 * DAY
        found = backlog(rule, start - 28 * DAY, first + 9 * DAY, newest=5)
        assert found.hole == LISTED
        assert found.times[LISTED:] == newest
        assert found.next == datetime(2026, 4, 3, 9, 0, 0, tzinfo=UTC)


def test_an_interval_of_a_second_runs_86400_times_a_day_whatever_the_delays() -> None:
    delays = random.Random(4)
    nominal = NOW
    last: datetime | None = None
    runs = 0
    record = ours(nominal)
    timing = {"schedule": schedule(1.0, app=APP)}
    while record.score is not None and record.score < (NOW + DAY).timestamp():
        now = datetime.fromtimestamp(record.score, UTC) + timedelta(seconds=delays.random() * 0.4)
        decided = plan(record, timing, last, now)
        assert decided.gaps == ()
        assert decided.nominal == nominal
        last = now
        runs += 1
        nominal += timedelta(seconds=1)
        record = EntryRecord("x", decided.score, due=decided.due_field(now.timestamp()))
    assert runs == 86400


def test_an_absence_of_years_of_one_entry_costs_no_other_of_the_same_schedule() -> None:
    timing = crontab(minute="*", app=APP)
    years_ago = NOW - 3650 * DAY
    assert len(backlog(timing, years_ago, NOW).times) > 1
    # Not by walking the five million minutes up to the first that is asked for.
    first = NOW - 1000 * MINUTE
    started = time.thread_time()
    found = backlog(timing, first, NOW)
    assert time.thread_time() - started < 0.5
    assert list(found.times) == [first + n * MINUTE for n in range(1001)]
    assert list(backlog(timing, years_ago, NOW).times[:2]) == [years_ago, years_ago + MINUTE]


def test_gaps_add_up() -> None:
    some = RunsNotMade(False, NOW, NOW + MINUTE, 2, "late")
    more = RunsNotMade(True, NOW, NOW, 1, "skipped")
    assert counted(None, [some]) == '{"missed": 2, "skipped": 0}'
    assert counted('{"missed": 2, "skipped": 0}', [some, more]) == '{"missed": 4, "skipped": 1}'
    assert counted("nonsense", [more]) == '{"missed": 0, "skipped": 1}'
    assert counted('{"missed": "many"}', [more]) == '{"missed": 0, "skipped": 1}'
