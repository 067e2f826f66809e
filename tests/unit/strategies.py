"""Schedules of every kind, for property tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from celery.schedules import crontab, schedule
from dateutil.rrule import weekday
from hypothesis import strategies as st

from redbeat_core.schedules import (
    BaseSchedule,
    anchored_interval,
    once,
    rrule,
    rrule_set,
    solar,
    zoned_crontab,
)
from redbeat_core.schedules.recurrence.zones import TICK, next_change, offset_at
from redbeat_core.schedules.types.solar import EVENTS

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "America/Sao_Paulo",
    "Pacific/Apia",
)

zones: st.SearchStrategy[tzinfo] = st.one_of(
    st.just(UTC),
    st.sampled_from(ZONES).map(ZoneInfo),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)


def moments(first: int = 2000, last: int = 2035) -> st.SearchStrategy[datetime]:
    """Whole seconds, UTC."""
    return st.datetimes(datetime(first, 1, 1), datetime(last, 1, 1), timezones=st.just(UTC)).map(
        lambda moment: moment.replace(microsecond=0)
    )


def some(low: int, high: int, *, signed: bool = False) -> st.SearchStrategy[list[int] | None]:
    """Nothing, or a few numbers."""
    number = st.integers(low, high)
    if signed:
        number = st.one_of(number, number.map(lambda n: -n))
    return st.one_of(st.none(), st.none(), st.lists(number, min_size=1, max_size=4, unique=True))


def _weekdays(freq: int, of_month: bool) -> st.SearchStrategy[Any]:
    plain = st.lists(st.integers(0, 6).map(weekday), min_size=1, max_size=3, unique=True)
    if freq > 1:
        return st.one_of(st.none(), plain)
    limit = 5 if of_month else 53
    n = st.integers(1, limit).flatmap(lambda n: st.sampled_from((n, -n)))
    nth = st.lists(st.builds(weekday, st.integers(0, 6), n), min_size=1, max_size=2, unique=True)
    return st.one_of(st.none(), plain, nth)


@st.composite
def rule_arguments(draw: st.DrawFn, freqs: tuple[int, ...] = tuple(range(7))) -> dict[str, Any]:
    """Arguments of an rrule but for its dtstart: most of them match now and then."""
    freq = draw(st.sampled_from(freqs))
    found: dict[str, Any] = {
        "freq": freq,
        "interval": draw(st.integers(1, 4) | st.integers(1, 100)),
        "wkst": draw(st.none() | st.integers(0, 6)),
        "bymonth": draw(some(1, 12)),
        "byhour": draw(some(0, 23)),
        "byminute": draw(some(0, 59)),
        "bysecond": draw(some(0, 59)),
    }
    days = draw(st.sampled_from(("monthday", "weekday", "yearday", "weekno", "easter", "none")))
    if days == "monthday":
        found["bymonthday"] = draw(some(1, 31, signed=True))
    if days in ("weekday", "monthday", "weekno"):
        found["byweekday"] = draw(_weekdays(freq, freq == 1 or found["bymonth"] is not None))
    if days == "yearday":
        found["byyearday"] = draw(some(1, 365, signed=True))
    if days == "weekno" and freq == 0:
        found["byweekno"] = draw(some(1, 53) | st.just([-1]))
    if days == "easter":
        found["byeaster"] = draw(some(0, 60, signed=True))
    if freq <= 3:
        found["bysetpos"] = draw(some(1, 6, signed=True))
    return {name: value for name, value in found.items() if value is not None}


@st.composite
def rules(draw: st.DrawFn) -> rrule:
    """Rules with everything that a rule may have."""
    arguments = draw(rule_arguments())
    start = draw(moments(2015, 2030)).astimezone(draw(zones))
    if draw(st.booleans()):
        arguments["count"] = draw(st.integers(0, 50))
    elif draw(st.booleans()):
        arguments["until"] = start.astimezone(UTC) + timedelta(seconds=draw(st.integers(0, 10**9)))
    return rrule(dtstart=start, **arguments)


intervals = st.builds(
    schedule,
    st.timedeltas(timedelta(microseconds=1), timedelta(days=10_000)),
    st.booleans(),
)


def _field(low: int, high: int) -> st.SearchStrategy[Any]:
    number = st.integers(low, high)
    item = st.one_of(
        number.map(str),
        st.just("*"),
        st.tuples(number, number).map(lambda pair: f"{pair[0]}-{pair[1]}"),
        st.tuples(number, number, st.integers(1, 9)).map(lambda t: f"{t[0]}-{t[1]}/{t[2]}"),
        st.integers(1, 99).map(lambda step: f"*/{step}"),
    )
    return st.one_of(
        st.just("*"),
        number,
        item,
        st.lists(item, min_size=1, max_size=3).map(",".join),
        st.lists(number, min_size=1, max_size=5),
        st.sets(number, min_size=1, max_size=5),
    )


crontabs = st.builds(
    crontab,
    minute=_field(0, 59),
    hour=_field(0, 23),
    day_of_week=_field(0, 6) | st.sampled_from(("mon-fri", "sunday", "sat,sun", "fri-mon")),
    day_of_month=_field(1, 28),
    month_of_year=_field(1, 12),
)

zoned_crontabs = st.builds(
    lambda made, zone: zoned_crontab(
        made._orig_minute,
        made._orig_hour,
        made._orig_day_of_week,
        made._orig_day_of_month,
        made._orig_month_of_year,
        tz=zone,
    ),
    crontabs,
    st.sampled_from((*ZONES, "UTC")),
)


@st.composite
def local_moments(draw: st.DrawFn) -> datetime:
    """Moments in any zone, also between whole seconds and about changes of the clock."""
    moment = draw(moments(2001, 2040)) + draw(st.timedeltas(timedelta(0), timedelta(seconds=1)))
    return moment.astimezone(draw(zones))


@st.composite
def written_moments(draw: st.DrawFn, first: int = 2001, last: int = 2036) -> datetime:
    """As :func:`local_moments`, most of them within hours of a change of their zone's clock: in the
    first or the second pass of a repeated hour, or at a local time that the clock never shows."""
    if draw(st.sampled_from((False, False, True))):
        moment = draw(moments(first, last)) + draw(_parts_of_a_second)
        return moment.astimezone(draw(zones))
    zone = ZoneInfo(draw(st.sampled_from(ZONES)))
    moment = datetime(draw(st.integers(first, last - 1)), 1, 1, tzinfo=UTC)
    moment = next_change(zone, moment, moment + timedelta(366)) or moment
    shown = (moment + offset_at(moment - TICK, zone)).replace(tzinfo=None)
    away = timedelta(minutes=draw(st.integers(-120, 120))) + draw(_parts_of_a_second)
    return (shown + away).replace(tzinfo=zone, fold=draw(st.integers(0, 1)))


_parts_of_a_second = st.sampled_from((timedelta(0), TICK, -TICK)) | st.timedeltas(
    timedelta(0), timedelta(seconds=1)
)
one_offs = st.builds(once, local_moments())
anchored_intervals = st.builds(
    anchored_interval,
    st.timedeltas(timedelta(microseconds=1), timedelta(days=10_000)),
    local_moments(),
)
suns = st.builds(
    solar,
    st.sampled_from(tuple(EVENTS)),
    st.floats(-66, 66) | st.integers(-60, 60),
    st.floats(-180, 180),
)


@st.composite
def sets(draw: st.DrawFn) -> rrule_set:
    """Sets with all that a set may have; those of rules share one start."""
    start = draw(moments(2015, 2030)).astimezone(draw(zones))
    counts = st.none() | st.none() | st.integers(0, 20)
    one = st.tuples(rule_arguments(), counts).map(
        lambda pair: rrule(dtstart=start, count=pair[1], **pair[0])
    )
    dates = st.lists(local_moments(), max_size=4)
    rdates = draw(dates)
    rules = draw(st.lists(one, min_size=0 if rdates else 1, max_size=3))
    return rrule_set(rules, rdates, draw(st.lists(one, max_size=2)), draw(dates))


def schedules() -> st.SearchStrategy[BaseSchedule]:
    """Schedules of every type."""
    return st.one_of(
        intervals,
        crontabs,
        rules(),
        zoned_crontabs,
        one_offs,
        anchored_intervals,
        sets(),
        suns,
    )
