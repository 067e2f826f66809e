"""What was counted of a rule with COUNT is put down and taken up again: right, or not at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redbeat_core.progress_text import progress_text, take_up
from redbeat_core.schedules import DstPolicy, next_occurrence, rrule, rrule_set
from tests.support.counting import counted_from

from .cold import forget_everything
from .strategies import rule_arguments

START = datetime(2020, 1, 1, 9, tzinfo=UTC)
NOW = datetime(2026, 5, 5, 5, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)
spans = st.timedeltas(timedelta(0), timedelta(days=900))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(rule_arguments(), min_size=1, max_size=3),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"]),
    st.integers(1, 400),
    spans,
    st.lists(spans, min_size=1, max_size=3),
    st.sampled_from([DstPolicy(), DstPolicy("skip", "both"), DstPolicy(ambiguous="last")]),
)
def test_the_next_run_is_the_same_from_whatever_was_put_down(
    arguments: list[dict[str, Any]],
    zone: str,
    count: int,
    put_down: timedelta,
    asked: list[timedelta],
    dst: DstPolicy,
) -> None:
    start = datetime(2010, 10, 20, 1, 30, tzinfo=ZoneInfo(zone))
    rules = [rrule(dtstart=start, count=count, **one) for one in arguments]
    made = rules[0] if len(rules) == 1 else rrule_set(rules)
    forget_everything()
    expected = []
    for span in asked:
        forget_everything()
        expected.append(next_occurrence(made, start + span, dst))
    forget_everything()
    text = progress_text(made, start + put_down)
    forget_everything()
    assert take_up(made, text) >= 1
    for span, run in zip(asked, expected, strict=True):
        assert next_occurrence(made, start + span, dst) == run


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
    assert take_up(made, text) == len(json.loads(text))
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
    assert take_up(made, text) == 0
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
