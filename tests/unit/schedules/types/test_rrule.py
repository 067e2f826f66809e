"""``rrule`` is celery-redbeat's class, and a value: equal, hashable, copied, pickled."""

from __future__ import annotations

import copy
import pickle
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.schedules import schedstate
from dateutil.rrule import FR, MO, WEEKLY
from dateutil.rrule import rrule as dateutil_rrule
from hypothesis import given
from redbeat.schedules import rrule as their_rrule

from redbeat_core.schedules import rrule
from redbeat_core.schedules.types.base import NEVER_SECONDS
from redbeat_core.schedules.types.rrule import RRULE_FIELDS
from tests.support.effort import examples
from tests.unit.strategies import rules

START = datetime(2026, 1, 5, 9, 0, 0, tzinfo=UTC)


def made(**changes: Any) -> rrule:
    arguments: dict[str, Any] = {"freq": "WEEKLY", "dtstart": START, "byhour": [9, 17]}
    return rrule(**(arguments | changes))


def test_the_attributes_are_what_celery_redbeat_has() -> None:
    arguments: dict[str, Any] = {
        "freq": "MONTHLY",
        "dtstart": START,
        "byweekday": [MO, FR(-1)],
        "count": 7,
    }
    ours, theirs = rrule(**arguments), their_rrule(**arguments)
    for name in RRULE_FIELDS:
        assert getattr(ours, name) == getattr(theirs, name), name
    assert list(ours.rrule) == list(theirs.rrule)
    assert isinstance(ours.rrule, dateutil_rrule)


def test_arguments_go_by_position_as_they_do_in_celery_redbeat() -> None:
    ours = rrule(WEEKLY, START, 2, MO, None, START + timedelta(days=90), None, [1, 2])
    assert (ours.interval, ours.wkst, ours.bymonth) == (2, MO, [1, 2])
    assert ours.until == START + timedelta(days=90)


def test_a_start_without_a_zone_is_utc_shown_in_the_zone_of_the_app() -> None:
    app = Celery(set_as_current=False)
    app.conf.timezone = "Europe/Paris"
    rule = rrule("DAILY", dtstart=datetime(2026, 1, 5, 8), app=app)
    assert rule.dtstart == datetime(2026, 1, 5, 9, tzinfo=ZoneInfo("Europe/Paris"))
    assert rule.dtstart == their_rrule("DAILY", dtstart=datetime(2026, 1, 5, 8), app=app).dtstart


def test_no_start_means_now() -> None:
    rule = rrule("DAILY", nowfun=lambda: START)
    assert rule.dtstart == START


@pytest.mark.parametrize(
    "same",
    [
        {"byhour": (17, 9)},
        {"byhour": [9, 17, 9]},
        {"freq": WEEKLY},
        {"freq": "weekly"},
        {"wkst": 0},
        {"wkst": MO},
        {"dtstart": START.astimezone(ZoneInfo("UTC"))},
        {"dtstart": START.replace(microsecond=7)},
        {"bymonth": []},
    ],
)
def test_rules_that_say_the_same_are_equal_and_hash_alike(same: dict[str, Any]) -> None:
    assert made(**same) == made()
    assert hash(made(**same)) == hash(made())


@pytest.mark.parametrize(
    "other",
    [
        {"byhour": 9},
        {"freq": "DAILY"},
        {"interval": 2},
        {"wkst": 6},
        {"count": 3},
        {"until": START + timedelta(days=3)},
        {"dtstart": START + timedelta(seconds=1)},
        {"dtstart": START.astimezone(ZoneInfo("Europe/Paris"))},
        {"dtstart": START.astimezone(timezone(timedelta(hours=1)))},
        {"byweekday": MO},
        {"bysetpos": -1},
    ],
)
def test_rules_that_differ_are_not_equal(other: dict[str, Any]) -> None:
    assert made(**other) != made()


def test_a_rule_equals_nothing_else() -> None:
    assert made() != "FREQ=WEEKLY"


@examples(100)
@given(rules())
def test_copies_and_pickles_are_equal(rule: rrule) -> None:
    for twin in (copy.copy(rule), copy.deepcopy(rule), pickle.loads(pickle.dumps(rule))):
        assert twin == rule
        assert hash(twin) == hash(rule)
        assert repr(twin) == repr(rule)
        assert type(twin) is rrule


def test_a_copy_costs_nothing_however_long_the_rule_is() -> None:
    rule = rrule("SECONDLY", dtstart=START)
    start = time.thread_time()
    for _ in range(100):
        copy.copy(rule)
        copy.deepcopy(rule)
        pickle.loads(pickle.dumps(rule))
    assert time.thread_time() - start < 1


def test_a_subclass_stays_one_when_copied() -> None:
    class Mine(rrule):
        """A user's own."""

    assert type(copy.deepcopy(Mine("DAILY", dtstart=START))) is Mine


@pytest.mark.parametrize(
    ("now", "last_run_at"),
    [
        (START + timedelta(hours=1), START),
        (START + timedelta(days=8), START),
        (START + timedelta(days=7, hours=-1), START + timedelta(hours=1)),
        (START - timedelta(days=1), START - timedelta(days=9)),
    ],
)
def test_due_times_are_those_of_celery_redbeat(now: datetime, last_run_at: datetime) -> None:
    arguments: dict[str, Any] = {"freq": "WEEKLY", "dtstart": START, "nowfun": lambda: now}
    ours, theirs = rrule(**arguments), their_rrule(**arguments)
    assert ours.remaining_estimate(last_run_at) == theirs.remaining_estimate(last_run_at)
    assert ours.is_due(last_run_at) == theirs.is_due(last_run_at)


def test_a_rule_that_has_ended_is_never_due() -> None:
    rule = rrule("DAILY", dtstart=START, count=1, nowfun=lambda: START + timedelta(days=1))
    assert rule.remaining_estimate(START) is None
    # A number, since the beat of older Celery stops for good at None.
    assert rule.is_due(START) == schedstate(False, NEVER_SECONDS)
    assert rule.is_due(START - timedelta(days=1)) == schedstate(True, NEVER_SECONDS)


def test_the_text_for_developers_is_celery_redbeats() -> None:
    assert repr(made()) == repr(their_rrule("WEEKLY", dtstart=START, byhour=[9, 17]))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"freq": "FORTNIGHTLY"}, "freq 'FORTNIGHTLY' is none of YEARLY"),
        ({"freq": 7}, "freq 7 is none of"),
        ({"freq": True}, "freq True is none of"),
        ({"interval": 0}, "interval must be a whole number from 1"),
        ({"interval": 1.5}, "interval must be a whole number"),
        ({"count": -1}, "count must be a whole number from 0"),
        ({"byhour": 24}, "byhour holds 24, which is not within 0 to 23"),
        ({"bymonth": ["may"]}, "bymonth holds 'may'"),
        ({"bymonthday": 0}, "bymonthday holds 0, which is not within 1 to 31 or -31 to -1"),
        ({"bysetpos": [0]}, "bysetpos holds 0"),
        ({"byweekday": 7}, "byweekday holds 7; a weekday is 0"),
        ({"byweekday": "MO"}, "byweekday holds 'MO'"),
        ({"byminute": list(range(60)) * 20}, "byminute has 1200 values"),
        ({"wkst": 9}, "wkst 9 is no weekday"),
        ({"dtstart": "today"}, "dtstart must be a datetime, not 'today'"),
        ({"dtstart": datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))}, "out of range"),
    ],
)
def test_what_no_calendar_has_is_refused_with_the_reason(
    arguments: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError) as caught:
        made(**arguments)
    assert reason in str(caught.value)


def test_sets_and_ranges_become_lists_that_json_knows() -> None:
    assert made(byhour={17, 9}).byhour == [9, 17]
    assert made(byminute=range(0, 60, 20)).byminute == [0, 20, 40]


def test_a_rule_that_was_pickled_knows_whether_it_was_given_a_start() -> None:
    made = rrule("DAILY")
    with_start = rrule("DAILY", dtstart=made.dtstart)
    kept = [pickle.loads(pickle.dumps(rule)).starts_when_made for rule in (made, with_start)]
    assert kept == [True, False]
