"""What was counted of a rule with COUNT is put down and taken up again: right, or not at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redbeat_core.schedules import DstPolicy, next_occurrence, rrule, rrule_set
from redbeat_core.schedules.types.count_progress import progress_text, restore_progress
from tests.support.counting import counted_from
from tests.support.effort import examples
from tests.unit.cold import forget_everything
from tests.unit.strategies import rule_arguments, written_moments, zones

START = datetime(2020, 1, 1, 9, tzinfo=UTC)
NOW = datetime(2026, 5, 5, 5, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)
#: Where the rules of the properties start, by the clocks of their zone.
START_OF_ALL = datetime(2010, 10, 20, 1, 30, tzinfo=UTC)
spans = st.timedeltas(timedelta(0), timedelta(days=900))


@examples(200)
@given(
    st.lists(rule_arguments(), min_size=1, max_size=3),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"]),
    st.integers(1, 400),
    spans | written_moments(2010, 2013),
    st.lists(spans | written_moments(2010, 2013), min_size=1, max_size=3),
    st.sampled_from([DstPolicy(), DstPolicy("skip", "both"), DstPolicy(ambiguous="last")]),
)
def test_the_next_run_is_the_same_from_whatever_was_put_down(
    arguments: list[dict[str, Any]],
    zone: str,
    count: int,
    put_down: Any,
    asked: list[Any],
    dst: DstPolicy,
) -> None:
    start = START_OF_ALL.replace(tzinfo=ZoneInfo(zone))
    put_down, asked = at_or_after(start, put_down), [at_or_after(start, one) for one in asked]
    rules = [rrule(dtstart=start, count=count, **one) for one in arguments]
    made = rules[0] if len(rules) == 1 else rrule_set(rules)
    forget_everything()
    expected = []
    for moment in asked:
        forget_everything()
        expected.append(next_occurrence(made, moment, dst))
    forget_everything()
    text = progress_text(made, put_down)
    forget_everything()
    assert restore_progress(made, text) >= 1
    for moment, run in zip(asked, expected, strict=True):
        assert next_occurrence(made, moment, dst) == run


def at_or_after(start: datetime, moment: datetime | timedelta) -> datetime:
    """*moment*, or so long after *start*, but for one before it *start* in its zone."""
    if isinstance(moment, timedelta):
        return start + moment
    return max(start, moment).astimezone(moment.tzinfo)


@examples(100)
@given(
    rule_arguments(),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"]),
    st.integers(1, 10_000),
    spans.map(lambda span: START_OF_ALL + span) | written_moments(2010, 2013),
    zones,
)
def test_what_is_put_down_does_not_depend_on_the_zone_of_the_moment(
    arguments: dict[str, Any], zone: str, count: int, moment: datetime, there: tzinfo
) -> None:
    start = START_OF_ALL.replace(tzinfo=ZoneInfo(zone))
    made = rrule(dtstart=start, count=count, **arguments)
    texts = []
    for written in (moment.astimezone(UTC), moment, moment.astimezone(there)):
        forget_everything()
        texts.append(progress_text(made, written))
        # Nothing that is remembered of another zone gets in between.
        assert progress_text(made, moment.astimezone(UTC)) == texts[0]
    assert texts == texts[:1] * 3


def test_a_moment_in_the_rules_own_zone_is_counted_once() -> None:
    start = datetime(2010, 10, 20, 1, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    made = rrule("HOURLY", dtstart=start, count=2, bysecond=0)
    moment = start + timedelta(microseconds=1)
    forget_everything()
    ((at, number, _),) = json.loads(progress_text(made, moment))
    assert (datetime.fromisoformat(at), number) == (moment, 1)
    assert next_occurrence(made, moment) == start + timedelta(hours=1)


def test_rules_that_start_in_either_pass_of_a_repeated_hour_are_counted_apart() -> None:
    first = datetime(2021, 10, 31, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    moment = datetime(2021, 10, 31, 3, tzinfo=UTC)
    one, other = (
        rrule("HOURLY", dtstart=start, count=5, bysecond=[0, 30])
        for start in (first, first.replace(fold=1))
    )
    forget_everything()
    assert next_occurrence(one, moment) is None
    assert next_occurrence(other, moment) == moment + timedelta(minutes=30)


@pytest.mark.parametrize(
    "made",
    [
        rrule("DAILY", dtstart=START, count=10**6),
        rrule("MINUTELY", dtstart=START, count=5_000_000, byminute=range(0, 60, 2)),
        rrule("HOURLY", dtstart=START.astimezone(ZoneInfo("Europe/Berlin")), count=90_000),
        rrule_set(
            [rrule("DAILY", dtstart=START, count=10**6)],
            exrules=[rrule("MINUTELY", dtstart=START, byhour=3, byminute=1, count=10_000)],
        ),
    ],
)
def test_what_was_put_down_is_not_counted_again(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    following = next_occurrence(made, NOW)
    assert following is not None
    text = progress_text(made, following)
    forget_everything()
    begins = counted_from(monkeypatch)
    # It is counted from its start, unless a glance shows that there are enough.
    progress_text(made, following)
    assert not begins or min(begins) == START.replace(tzinfo=None)
    forget_everything()
    begins.clear()
    assert restore_progress(made, text) == len(json.loads(text))
    assert next_occurrence(made, following) is not None
    progress_text(made, following)
    assert all(begin >= NOW.replace(tzinfo=None) - DAY for begin in begins)


def texts(made: rrule) -> dict[str, str]:
    """Fields that are not what was put down for *made*."""
    (at, number, mark), *_ = json.loads(progress_text(made, NOW))
    other = rrule("DAILY", dtstart=START, count=7)
    return {
        "nothing": "",
        "no JSON": "{[",
        "deep": "[" * 100_000,
        "no list": "7",
        "an object": '{"a": 1}',
        "short": json.dumps([[at, number]]),
        "no numbers": json.dumps([[at, "many", mark], [None, None, None], 5, [[], {}, []]]),
        "another number": json.dumps([[at, number + 1, mark]]),
        "another time": json.dumps([["2025-01-01T09:00:00", number, mark]]),
        "no time": json.dumps([["soon", number, mark]]),
        "of another rule": progress_text(other, NOW),
        "of another COUNT": progress_text(rrule("DAILY", dtstart=START, count=11), NOW),
        "before DTSTART": progress_text(rrule("DAILY", dtstart=START - DAY, count=10), START - DAY),
    }


@pytest.mark.parametrize("kind", texts(rrule("DAILY", dtstart=START, count=10)))
def test_what_does_not_fit_is_counted_anew(kind: str) -> None:
    made = rrule("DAILY", dtstart=START, count=10)
    text = texts(made)[kind]
    forget_everything()
    assert restore_progress(made, text) == 0
    last = START + 9 * DAY
    assert next_occurrence(made, last - DAY) == last
    assert next_occurrence(made, last) is None


def test_a_schedule_without_a_count_has_nothing_to_put_down() -> None:
    assert progress_text(rrule("DAILY", dtstart=START), NOW) == ""
    assert progress_text(rrule_set([rrule("DAILY", dtstart=START)]), NOW) == ""
    assert progress_text(rrule("DAILY", dtstart=START, count=5), None) == ""


def test_a_look_far_ahead_does_not_make_the_next_question_count_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = rrule("DAILY", dtstart=START, count=10**5)
    next_occurrence(made, NOW)
    next_occurrence(made, NOW + 36_500 * DAY)
    begins = counted_from(monkeypatch)
    next_occurrence(made, NOW + DAY)
    assert min(begins) >= NOW.replace(tzinfo=None) - DAY


def test_on_the_last_day_of_the_calendar_nothing_is_put_down() -> None:
    start = datetime(9999, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    rule = rrule("DAILY", dtstart=start, count=900)
    assert progress_text(rule, datetime(9999, 12, 31, 23, 30, tzinfo=UTC)) == ""
