"""What an operator types is a schedule, or an error that says what would be right."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import BaseSchedule, crontab, schedule
from dateutil.rrule import FR, MO, WE
from hypothesis import assume, example, given
from hypothesis import strategies as st
from redbeat.schedules import rrule as their_rrule

from redbeat_core.schedules import (
    ScheduleError,
    format_schedule,
    next_occurrence,
    parse_schedule,
    rrule,
)
from tests.support.effort import examples
from tests.unit.strategies import schedules

NOW = datetime(2026, 5, 5, 5, 17, 42, 123, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def parse(text: str, tz: Any = None) -> BaseSchedule:
    return parse_schedule(text, tz, now=NOW)


def refusal(text: str) -> ScheduleError:
    with pytest.raises(ScheduleError) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("every 30s", 30),
        ("every 5m", 300),
        ("every 90 seconds", 90),
        ("every 1h30m", 5400),
        ("every 1 hour and 30 minutes", 5400),
        ("every 1h, 30m", 5400),
        ("every 0.5s", 0.5),
        ("every .5s", 0.5),
        ("every 250ms", 0.25),
        ("every minute", 60),
        ("every day", 86400),
        ("every 2 weeks", 2 * 7 * 86400),
        ("EVERY 5 Min", 300),
        ("every5m", 300),
        ("  every 30s ", 30),
        ("every 1.5 hours", 5400),
    ],
)
def test_intervals(text: str, seconds: float) -> None:
    found = parse(text)
    assert found == schedule(timedelta(seconds=seconds))
    assert not found.relative


def test_an_interval_may_be_relative() -> None:
    assert parse("every 5m relative").relative
    assert format_schedule(schedule(300, relative=True)) == "every 5m relative"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*/5 * * * *", crontab("*/5")),
        ("0 9 * * mon-fri", crontab(0, 9, day_of_week="1-5")),
        ("0  0 1,15 jan,JUL *", crontab(0, 0, day_of_month="1,15", month_of_year="1,7")),
        ("0 0 1 feb-apr/2 *", crontab(0, 0, day_of_month="1", month_of_year="2-4/2")),
        ("0 0 * * Sunday", crontab(0, 0, day_of_week=0)),
        ("30 22-4/2 * * *", crontab(30, "22-4/2")),
        ("@hourly", crontab(0)),
        ("@daily", crontab(0, 0)),
        ("@midnight", crontab(0, 0)),
        ("@weekly", crontab(0, 0, day_of_week=0)),
        ("@monthly", crontab(0, 0, day_of_month=1)),
        ("@Yearly", crontab(0, 0, day_of_month=1, month_of_year=1)),
        ("@annually", crontab(0, 0, day_of_month=1, month_of_year=1)),
    ],
)
def test_crontabs(text: str, expected: crontab) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "DTSTART;TZID=Europe/Berlin:20260101T090000\nRRULE:FREQ=MONTHLY;BYDAY=-1FR",
            {
                "freq": "MONTHLY",
                "dtstart": datetime(2026, 1, 1, 9, tzinfo=BERLIN),
                "byweekday": FR(-1),
            },
        ),
        (
            "DTSTART:20260101T090000Z FREQ=WEEKLY; BYDAY=MO, WE; WKST=SU; INTERVAL=2",
            {
                "freq": "WEEKLY",
                "dtstart": datetime(2026, 1, 1, 9, tzinfo=UTC),
                "byweekday": [MO, WE],
                "wkst": 6,
                "interval": 2,
            },
        ),
        (
            "RRULE:FREQ=YEARLY;UNTIL=20301231T120000Z\nDTSTART;TZID=+0130:20260101T090000",
            {
                "freq": "YEARLY",
                "dtstart": datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(minutes=90))),
                "until": datetime(2030, 12, 31, 12, tzinfo=UTC),
            },
        ),
        (
            "freq=daily;count=3;byhour=9,17;byminute=0;bysecond=0",
            {
                "freq": "DAILY",
                "dtstart": datetime(2026, 5, 5, 5, 18, tzinfo=UTC),
                "count": 3,
                "byhour": [9, 17],
                "byminute": 0,
                "bysecond": 0,
            },
        ),
        (
            "FREQ=DAILY;BYHOUR=9",
            {
                "freq": "DAILY",
                "dtstart": datetime(2026, 5, 5, 5, 17, tzinfo=UTC),
                "byhour": 9,
                "byminute": 0,
            },
        ),
    ],
)
def test_rules(text: str, expected: dict[str, Any]) -> None:
    assert parse(text) == rrule(**expected)


def test_a_rule_without_a_start_begins_in_the_minute_that_is_now() -> None:
    found = parse("FREQ=DAILY", "Europe/Berlin")
    assert isinstance(found, rrule)
    assert found.dtstart == datetime(2026, 5, 5, 7, 17, tzinfo=BERLIN)
    assert found.dtstart.tzinfo is BERLIN


def test_a_rule_with_a_count_has_all_its_runs_before_it() -> None:
    assert next_occurrence(parse("FREQ=DAILY;COUNT=1"), NOW) == NOW.replace(
        minute=18, second=0, microsecond=0
    )


def test_a_time_without_a_zone_is_in_the_zone_that_is_given() -> None:
    found = parse("DTSTART:20260101T090000 FREQ=DAILY", BERLIN)
    assert found == rrule("DAILY", dtstart=datetime(2026, 1, 1, 9, tzinfo=BERLIN))


def test_a_date_as_the_end_includes_that_day() -> None:
    found = parse("DTSTART;TZID=Europe/Berlin:20260101 FREQ=DAILY;UNTIL=20301231")
    assert isinstance(found, rrule)
    assert found.until == datetime(2030, 12, 31, 23, 59, 59, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 0, "empty: try 'every 30s'"),
        ("evry 30s", 0, "'evry' is not a schedule: try 'every 30s', '*/5 * * * *', 'FREQ="),
        ("30s", 0, "begins with 'every': try 'every 30s'"),
        ("every", 5, "how often?"),
        ("every 5", 6, "'5' needs a unit"),
        ("every 0s", 6, "must be more than 0"),
        ("every -5s", 6, "must be more than 0"),
        ("every inf seconds", 6, "'inf' is no unit of time"),
        ("every nan s", 6, "'nan' is no unit"),
        ("every 5 minuts", 8, "did you mean minutes?"),
        ("every 1h month", 9, "a month has no fixed length: try '0 0 1 * *'"),
        ("every 0.0000001s", 6, "finer than a microsecond"),
        ("every 99999999999999999999w", 6, "longer than the calendar"),
        ("  every 5 minuts", 10, "'minuts'"),
        ("75 * * * *", 0, "minute 75 is not within 0-59"),
        ("0 24 * * *", 2, "hour 24 is not within 0-23"),
        ("0 9 0 * *", 4, "day of month 0 is not within 1-31"),
        ("0 9 * 13 *", 6, "month 13 is not within 1-12"),
        ("0 9 * * 7", 8, "day of week 7 is not within 0-6: Sunday is 0"),
        ("0 9 * * mon-fry", 8, "'fry' is no day of week: it is one of sun, mon, tue"),
        ("0 9 * jum *", 6, "did you mean jun?"),
        ("0,,5 * * * *", 2, "nothing between the commas"),
        (f"0 {'1,' * 300}1 * * *", 2, "hour has 301 values; at most 300 are read"),
        ("1,5,61 * * * *", 4, "minute 61"),
        ("*/0 * * * *", 0, "the step '0' is not within 1-60"),
        ("*/90 * * * *", 0, "'every 90m'"),
        ("5/10 * * * *", 0, "5-59/10 or */10"),
        ("1-2-3 * * * *", 0, "minute '1-2-3' is not understood"),
        ("0 0 L * *", 4, "FREQ=MONTHLY;BYMONTHDAY=-1"),
        ("0 0 ? * *", 4, "write '*'"),
        ("0 0 * * 2#2", 8, "FREQ=MONTHLY;BYDAY=2TU"),
        ("0 0 30 2 *", None, "never runs"),
        ("* * * *", 7, "this has 4"),
        ("0 * * * * *", 10, "this has 6; seconds are for 'every 30s'"),
        ("@dialy", 0, "did you mean @daily?"),
        ("@reboot", 0, "is none of @hourly"),
        ("BYHOUR=9", 0, "FREQ is missing: one of YEARLY"),
        ("FREQ=FORTNIGHTLY", 5, "'FORTNIGHTLY' is no FREQ"),
        ("FREQ=DALY", 5, "did you mean DAILY?"),
        ("FREQ=DAILY;BYHUOR=9", 11, "'BYHUOR' is no part of a rule; did you mean BYHOUR?"),
        ("FREQ=DAILY;BYHOUR=25", 18, "BYHOUR 25 is not within 0-23"),
        ("FREQ=DAILY;BYHOUR=9,x", 20, "BYHOUR 'x' is no whole number"),
        ("FREQ=DAILY;BYHOUR", 11, "BYHOUR needs one value"),
        ("FREQ=DAILY;FREQ=DAILY", 11, "FREQ is given twice"),
        ("FREQ=DAILY;INTERVAL=0", 20, "INTERVAL 0 is not within 1-"),
        ("FREQ=WEEKLY;BYDAY=MON", 18, "'MON' is no weekday"),
        ("FREQ=WEEKLY;BYDAY=2MO", 18, "needs FREQ=MONTHLY or FREQ=YEARLY"),
        ("FREQ=MONTHLY;BYDAY=0MO", 19, "not within 1-53"),
        ("FREQ=DAILY;UNTIL=soon", 17, "write 20260131T090000"),
        ("FREQ=DAILY;UNTIL=20260231", 17, "day is out of range"),
        ("FREQ=DAILY;UNTIL=20200101", None, "in the past"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", None, "never runs"),
        ("DTSTART;TZID=Europe/Belin:20260101T090000 FREQ=DAILY", 13, "did you mean Europe/Berlin"),
        ("DTSTART;TZID=berlin:20260101T090000 FREQ=DAILY", 13, "Europe/Berlin"),
        ("DTSTART;TZID=UTC:20260101T090000Z FREQ=DAILY", 17, "both a TZID and a Z"),
        ("DTSTART:20260101T250000Z FREQ=DAILY", 8, "hour must be in 0..23"),
        ("DTSTART FREQ=DAILY", 0, "DTSTART needs a time"),
        ("DTSTART:20260101T090000Z", 24, "the rule is missing"),
        ("FREQ=DAILY DTEND:20260101T090000Z", 11, "DTEND is not supported"),
        ("RRULE:FREQ=DAILY FREQ=DAILY", 6, "FREQ needs one value"),
        ("FREQ=DAILY EXDATE:20260101T250000Z", 18, "EXDATE 20260101T250000Z is no time"),
        ("FREQ=DAILY EXDATE:20260101", 18, "needs a time of day, as in 20260101T090000"),
        ("FREQ=DAILY EXDATE;TZID=Europe/Berlin:20260101T090000Z", 37, "both a TZID and a Z"),
        ("FREQ=DAILY EXRULE:FREQ=DALY", 23, "did you mean DAILY?"),
        ("FREQ=DAILY EXRULE", 17, "write EXRULE:FREQ="),
        ("RDATE:20200101T090000Z", None, "no run to come"),
        ("FREQ=DAILY EXRULE:FREQ=DAILY", None, "no run to come"),
        (
            "FREQ=DAILY;INTERVAL=2 EXRULE:FREQ=DAILY",
            None,
            "no run to come: all are in the past, ex",
        ),
        ("FREQ=HOURLY EXRULE:FREQ=HOURLY;COUNT=99999", None, "exclude the next 1000 times"),
        ("EXDATE:20270101T090000Z", 23, "the rule is missing"),
        ("at", 2, "at what time? Write it as in 'at 2026-12-24 18:00 Europe/Berlin'"),
        ("at noon", 3, "'noon' is no time: write it as in 2026-12-24 18:00"),
        ("at 2026-12-24", 13, "at what time of day?"),
        ("at 2026-12-24 25:00", 3, "hour must be in 0..23"),
        ("at 2026-13-24 18:00", 3, "month must be in 1..12"),
        ("at 2026-12-24 18:00 Europe/Belin", 20, "did you mean Europe/Berlin"),
        ("at 2026-01-01 18:00", 3, "2026-01-01 18:00 UTC is in the past"),
        ("at 2027-03-28 02:30 Europe/Berlin", 3, "jump over that time: write 2027-03-28 03:30"),
        ("at 2026-12-24 18:00+03:00 Europe/Berlin", 19, "do not have the offset +03:00 then"),
        ("every 5m from", 13, "from when?"),
        ("every 5m from tomorrow", 14, "'tomorrow' is no time"),
        ("0 9 * * * Europe/Belin", 10, "did you mean Europe/Berlin"),
        ("CRON_TZ=Europe/Belin 0 9 * * *", 8, "did you mean Europe/Berlin"),
        ("@daily Europe/Belin", 7, "did you mean Europe/Berlin"),
        ("0 9 * * * *", 10, "this has 6"),
        ("sunrise", 7, "where? sunrise needs degrees north and degrees east"),
        ("sunrise 52.52", 13, "where?"),
        ("sunrise 52.52 13.40 5", 20, "where?"),
        ("sunrise 95 13.40", 8, "not within -89.9 to 89.9 degrees"),
        ("sunrise 52.52 200", 14, "not within -180 to 180 degrees"),
        ("sunrise 52.52E 13.40", 8, "are no degrees"),
        ("sunrice 52.52 13.40", 0, "did you mean sunrise?"),
        ("dawn 52.52 13.40", 0, "dawn_civil"),
    ],
)
def test_an_error_says_where_and_what_would_be_right(
    text: str, column: int | None, message: str
) -> None:
    error = refusal(text)
    assert message in str(error)
    if column is not None:
        assert error.column == column


def test_an_unknown_zone_of_the_caller_is_named() -> None:
    with pytest.raises(ScheduleError, match="no time zone 'Nowhere'"):
        parse_schedule("FREQ=DAILY", "Nowhere")


@examples(300)
@given(schedules())
def test_the_text_of_a_schedule_says_the_same_schedule(made: BaseSchedule) -> None:
    before = datetime(2000, 1, 1, tzinfo=UTC)
    assume(next_occurrence(made, before) is not None)
    text = format_schedule(made)
    back = parse_schedule(text, now=before)
    assert back == made
    assert getattr(back, "relative", None) == getattr(made, "relative", None)
    assert format_schedule(back) == text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (schedule(30), "every 30s"),
        (schedule(0.123456), "every 0.123456s"),
        (schedule(90061.5), "every 1d1h1m1.5s"),
        (crontab("*/5", [9, 17], "mon-fri"), "*/5 9,17 * * mon-fri"),
        (crontab("1, 2"), "1,2 * * * *"),
        (crontab("*/90"), "0 * * * *"),
        (
            rrule(
                "MONTHLY",
                dtstart=datetime(2026, 1, 1, 9, tzinfo=BERLIN),
                byweekday=[MO(2), FR(-1)],
                until=datetime(2030, 1, 1, tzinfo=UTC),
            ),
            (
                "DTSTART;TZID=Europe/Berlin:20260101T090000 "
                "RRULE:FREQ=MONTHLY;UNTIL=20300101T000000Z;BYDAY=2MO,-1FR"
            ),
        ),
        (
            their_rrule("DAILY", dtstart=datetime(2026, 1, 1, 9, tzinfo=UTC), count=3),
            "DTSTART:20260101T090000Z RRULE:FREQ=DAILY;COUNT=3",
        ),
        (BaseSchedule(), "BaseSchedule"),
    ],
)
def test_the_text_is_what_an_operator_would_write(made: BaseSchedule, text: str) -> None:
    assert format_schedule(made) == text


def test_a_rule_in_the_second_pass_of_a_repeated_hour_keeps_it() -> None:
    made = rrule("HOURLY", dtstart=datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1))
    assert "FOLD=1" in format_schedule(made)
    assert parse(format_schedule(made)) == made


def test_a_parsed_crontab_takes_the_zone_of_the_app_that_it_is_given_later() -> None:
    from celery import Celery

    app = Celery(set_as_current=False)
    app.conf.timezone = "Asia/Tokyo"
    found = parse("0 9 * * *")
    found.app = app
    assert next_occurrence(found, NOW) == datetime(2026, 5, 6, 0, tzinfo=UTC)


_PIECES = st.sampled_from(
    re.split(
        r"(?<=\S) ",
        "every 30s * */5 0-59 mon-fri @daily FREQ= DAILY ; BYDAY=MO , -1FR DTSTART TZID= : Z "
        "20260101T090000 RRULE: COUNT= UNTIL= INTERVAL= BYHOUR= BYSETPOS= 99999999999 - + . / = "
        "Europe/Berlin BYMONTHDAY= SECONDLY BYWEEKNO= 31 2 h m and relative \n  ",
    )
)


@examples(500)
@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(_PIECES, max_size=14).map("".join),
        st.lists(_PIECES, max_size=14).map(" ".join),
        st.text(alphabet="0123456789*/-, LW#?", max_size=30),
    )
)
@example("every " + "9" * 7000 + "s")
@example("every " + "1s" * 3000)
@example("0 " * 4000)
@example("," * 7000 + " * * * *")
@example("FREQ=DAILY;BYHOUR=" + "1," * 3000)
@example("FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30")
@example("FREQ=YEARLY;INTERVAL=99999;BYMONTH=2;BYMONTHDAY=29")
@example("DTSTART:00010101T000000Z FREQ=DAILY")
@example("DTSTART;TZID=+1400:00010101T000000 FREQ=DAILY")
@example("DTSTART:99991231T235959Z FREQ=DAILY;BYHOUR=0")
@example("every 0" + "." * 5000)
@example("\0" * 100)
@example("x" * 10**6)
@example("٣ * * * *")
def test_whatever_is_typed_is_a_schedule_or_an_error_at_once(text: str) -> None:
    start = time.thread_time()
    error = None
    try:
        parse(text)
    except ScheduleError as exc:
        error = exc
    assert time.thread_time() - start < 1.5
    if error is not None:
        assert 0 < len(str(error)) < 400
        assert error.column is None or 0 <= error.column <= len(text)
