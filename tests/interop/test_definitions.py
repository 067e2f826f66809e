"""Definitions go from celery-redbeat to us and back without a byte of difference."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import BaseSchedule, crontab, schedule
from dateutil.rrule import FR, MO, SA, SU, TH, TU, WE
from dateutil.rrule import rrule as dateutil_rrule
from redbeat.decoder import RedBeatJSONDecoder as TheirDecoder
from redbeat.decoder import RedBeatJSONEncoder as TheirEncoder
from redbeat.schedules import rrule as their_rrule

from redbeat_core.entries.codec import (
    RedBeatJSONDecoder,
    RedBeatJSONEncoder,
    decode_definition,
    decode_meta,
    encode_definition,
    encode_meta,
)
from redbeat_core.schedules import next_occurrence, occurrences, rrule
from redbeat_core.schedules.types.rrule import RRULE_FIELDS

START = datetime(2026, 1, 5, 9, 30, 15, tzinfo=UTC)
NOW = datetime(2026, 5, 5, 5, 17, 42, tzinfo=UTC)
EAST = timezone(timedelta(hours=5, minutes=30))
WEST = timezone(timedelta(hours=-3))
PARIS = ZoneInfo("Europe/Paris")


def rule(freq: str, **arguments: Any) -> dict[str, Any]:
    """Arguments, since each side has a class of its own."""
    return {"freq": freq, "dtstart": START} | arguments


INTERVALS = [
    schedule(1),
    schedule(30.0),
    schedule(0.5),
    schedule(0.1234567),
    schedule(1e-6),
    schedule(timedelta(minutes=5)),
    schedule(timedelta(hours=1, milliseconds=250)),
    schedule(timedelta(days=7)),
    schedule(timedelta(days=400), relative=True),
    schedule(60, relative=True),
    schedule(3600.5, relative=True),
]
CRONTABS = [
    crontab(),
    crontab(minute=0),
    crontab(minute="*/5"),
    crontab(minute="*/15", hour="9-17", day_of_week="mon-fri"),
    crontab(minute=[0, 20, 40], hour=[1, 13]),
    crontab(minute=(5, 25), hour="*/2"),
    crontab(minute="1,13,30-45,50-59/2"),
    crontab(0, 0, day_of_month=1),
    crontab(0, 0, day_of_month="2-30/2", month_of_year="1"),
    crontab(0, 0, day_of_week="sunday"),
    crontab(0, 0, day_of_week="sat,sun"),
    crontab(0, 0, day_of_week=[1, 3]),
    crontab(30, 4, day_of_week=5, day_of_month="13"),
    crontab(0, 12, day_of_month=29, month_of_year=2),
    crontab(0, "22-4"),
    crontab(59, 23, day_of_month=31, month_of_year="*/3"),
]
RULES = [
    rule("YEARLY"),
    rule("YEARLY", bymonth=[1, 7], bymonthday=[1, -1]),
    rule("YEARLY", byyearday=[1, 100, -1]),
    rule("YEARLY", byweekno=20, byweekday=MO),
    rule("YEARLY", byeaster=[-2, 1]),
    rule("MONTHLY"),
    rule("MONTHLY", bymonthday=31),
    rule("MONTHLY", bymonthday=[-1], interval=3),
    rule("MONTHLY", byweekday=[MO, TU, WE, TH, FR], bysetpos=-1),
    rule("MONTHLY", byweekday=(SA, SU), bysetpos=[1, 2], wkst=SU),
    rule("WEEKLY"),
    rule("WEEKLY", byweekday=[MO, WE], byhour=9, byminute=0, bysecond=0),
    rule("WEEKLY", byweekday=(0, 4), interval=2, wkst=6),
    rule("WEEKLY", byweekday=FR, wkst=MO),
    rule("DAILY"),
    rule("DAILY", interval=3),
    rule("DAILY", byhour=[9, 12, 18], byminute=[0, 30]),
    rule("DAILY", count=200),
    rule("DAILY", until=START + timedelta(days=200)),
    rule("DAILY", bymonth=(6, 7, 8)),
    rule("DAILY", dtstart=START.astimezone(EAST), byhour=9),
    rule("DAILY", dtstart=START.astimezone(WEST), until=datetime(2026, 8, 1, tzinfo=EAST)),
    rule("DAILY", dtstart=START.astimezone(ZoneInfo("UTC"))),
    rule("DAILY", dtstart=START.replace(microsecond=123)),
    rule("DAILY", dtstart=datetime(2026, 1, 5, 9, 30)),
    rule("DAILY", count=1),
    rule("HOURLY"),
    rule("HOURLY", interval=7, byminute=[0, 15]),
    rule("HOURLY", byweekday=[MO, FR], byhour=list(range(8, 18))),
    rule("MINUTELY", interval=45),
    rule("MINUTELY", bysecond=[0, 30], byhour=3),
    rule("SECONDLY", interval=100),
    rule("SECONDLY", dtstart=NOW - timedelta(hours=2), interval=7, byminute=[1, 2]),
]
ENTRIES: list[dict[str, Any]] = [
    {"args": [1, "two", None, 3.5, True]},
    {"args": ()},
    {"kwargs": {"a": {"b": [1, {"c": "d"}]}}},
    {"kwargs": {"größe": "中文 ✓ 🦑", "عربى": "\u202e\x1b[31m"}},
    {"options": {"queue": "high", "priority": 9, "expires": 60}},
    {"options": {"expires": START, "headers": {"x": "y"}, "exchange": "e", "routing_key": "r.k"}},
    {"options": {"time_limit": 10.5, "ignore_result": True, "compression": "zlib", "link": None}},
    {"kwargs": {"at": START.astimezone(PARIS), "in": [START.astimezone(EAST)]}},
    {"kwargs": {"naive": datetime(2026, 1, 1, 12), "micro": START.replace(microsecond=7)}},
    {"kwargs": {"fixed": datetime(1890, 1, 1, tzinfo=timezone(timedelta(seconds=561)))}},
    {"kwargs": {"typed": {"__type__": "something else", "x": 1}}},
    {"enabled": False},
    {"name": "a name: with/many ☃ \"things'", "task": "päckage.täsk"},
    {"args": None, "kwargs": {}, "options": {}},
    {"kwargs": {"every": schedule(5), "when": crontab(hour=3), "day": MO}},
]


def entry(made: Any = None, **changes: Any) -> dict[str, Any]:
    return {
        "name": "n",
        "task": "t",
        "args": [],
        "kwargs": {},
        "options": {},
        "schedule": schedule(60) if made is None else made,
        "enabled": True,
    } | changes


#: The same entry as each side would have it, given a rule's arguments or anything else.
BOTH = (
    [(entry(made), entry(made)) for made in (*INTERVALS, *CRONTABS)]
    + [(entry(rrule(**given)), entry(their_rrule(**given))) for given in RULES]
    + [(entry(**given), entry(**given)) for given in ENTRIES]
)


def test_there_are_enough_of_them() -> None:
    assert len(BOTH) >= 60


@pytest.mark.parametrize("pair", BOTH, ids=range(len(BOTH)))
def test_a_definition_is_the_same_bytes_whoever_writes_it(pair: Any) -> None:
    ours, theirs = pair
    assert encode_definition(ours) == json.dumps(theirs, cls=TheirEncoder)
    assert json.dumps(ours, cls=RedBeatJSONEncoder) == json.dumps(theirs, cls=TheirEncoder)
    # Also what celery-redbeat made, when we write it.
    assert encode_definition(theirs) == json.dumps(theirs, cls=TheirEncoder)


@pytest.mark.parametrize("pair", BOTH, ids=range(len(BOTH)))
def test_a_definition_that_either_side_wrote_is_rewritten_as_it_was(pair: Any) -> None:
    text = json.dumps(pair[1], cls=TheirEncoder)
    assert encode_definition(decode_definition(text)) == text


@pytest.mark.parametrize("pair", BOTH, ids=range(len(BOTH)))
def test_a_definition_reads_the_same_on_either_side(pair: Any) -> None:
    text = encode_definition(pair[0])
    ours, theirs = decode_definition(text), json.loads(text, cls=TheirDecoder)
    assert same(ours["schedule"], theirs["schedule"])
    for key in ("name", "task", "args", "kwargs", "options", "enabled"):
        assert ours[key] == theirs[key]
    assert json.loads(text, cls=RedBeatJSONDecoder).keys() == theirs.keys()


def same(ours: BaseSchedule, theirs: BaseSchedule) -> bool:
    if isinstance(ours, rrule):
        return all(getattr(ours, name) == getattr(theirs, name) for name in RRULE_FIELDS)
    return bool(ours == theirs) and type(ours) is type(theirs)


@pytest.mark.parametrize("given", RULES, ids=range(len(RULES)))
def test_a_rule_runs_at_the_same_ten_times_on_either_side(given: dict[str, Any]) -> None:
    text = json.dumps(their_rrule(**given), cls=TheirEncoder)
    theirs = json.loads(text, cls=TheirDecoder)
    ours = json.loads(text, cls=RedBeatJSONDecoder)
    assert occurrences(ours, anchor=None, now=NOW, count=10) == list(
        islice(theirs.rrule.xafter(NOW), 10)
    )


@pytest.mark.parametrize("made", [*INTERVALS, *CRONTABS], ids=repr)
def test_an_interval_or_crontab_runs_at_the_same_ten_times_on_either_side(
    made: BaseSchedule,
) -> None:
    theirs = json.loads(json.dumps(made, cls=RedBeatJSONEncoder), cls=TheirDecoder)
    ours = json.loads(json.dumps(made, cls=TheirEncoder), cls=RedBeatJSONDecoder)
    last = NOW
    for _ in range(10):
        theirs.nowfun = lambda last=last: last
        # celery-redbeat's own way to a due time, from a run that was on time.
        expected = last + theirs.remaining_estimate(last)
        if expected <= last:  # an interval of less than a second, rounded: due for ever
            break
        assert next_occurrence(ours, last) == expected
        last = expected


def test_an_nth_weekday_is_kept_and_celery_redbeat_reads_it() -> None:
    """The exception: celery-redbeat writes the last Friday as every Friday."""
    given = rule("MONTHLY", byweekday=[FR(-1), MO(2), TU])
    text = json.dumps(rrule(**given), cls=RedBeatJSONEncoder)
    theirs = json.loads(text, cls=TheirDecoder)
    assert theirs.byweekday == [FR(-1), MO(2), TU]
    assert json.loads(text, cls=RedBeatJSONDecoder).byweekday == [FR(-1), MO(2), TU]
    forgotten = json.dumps(their_rrule(**given), cls=TheirEncoder)
    assert text.replace(', "n": -1', "").replace(', "n": 2', "") == forgotten


def test_the_last_friday_runs_on_the_last_friday() -> None:
    given = rule("MONTHLY", byweekday=FR(-1))
    text = json.dumps(rrule(**given), cls=RedBeatJSONEncoder)
    expected = list(islice(dateutil_rrule(1, dtstart=START, byweekday=FR(-1)).xafter(NOW), 10))
    ours = json.loads(text, cls=RedBeatJSONDecoder)
    theirs = json.loads(text, cls=TheirDecoder)
    assert occurrences(ours, anchor=None, now=NOW, count=10) == expected
    assert list(islice(theirs.rrule.xafter(NOW), 10)) == expected


def test_the_second_pass_of_a_repeated_hour_is_kept_and_celery_redbeat_reads_it() -> None:
    moment = datetime(2026, 10, 25, 2, 30, tzinfo=PARIS, fold=1)
    text = json.dumps(moment, cls=RedBeatJSONEncoder)
    for decoder in (RedBeatJSONDecoder, TheirDecoder):
        assert json.loads(text, cls=decoder).astimezone(UTC) == moment.astimezone(UTC)


def test_a_rule_in_a_named_zone_stays_out_of_what_celery_redbeat_knows() -> None:
    ours = rrule("DAILY", dtstart=datetime(2026, 1, 5, 9, tzinfo=PARIS))
    text = json.dumps(ours, cls=RedBeatJSONEncoder)
    assert json.loads(text, cls=TheirDecoder)["__type__"] == "rrule-tz"
    back = json.loads(text, cls=RedBeatJSONDecoder)
    hours = {moment.astimezone(PARIS).hour for moment in islice(back.recurrence.after(NOW), 400)}
    assert hours == {9}


@pytest.mark.parametrize(
    "meta",
    [
        {"last_run_at": None},
        {"last_run_at": START},
        {"last_run_at": START.astimezone(PARIS), "total_run_count": 12},
        {"last_run_at": START.astimezone(EAST).replace(microsecond=999_999), "total_run_count": 0},
        {"last_run_at": datetime(2026, 1, 1), "total_run_count": 2**40},
    ],
)
def test_meta_is_the_same_bytes_whoever_writes_it(meta: dict[str, Any]) -> None:
    text = json.dumps(meta, cls=TheirEncoder)
    assert encode_meta(meta) == text
    found = decode_meta(text)
    theirs = json.loads(text, cls=TheirDecoder)
    assert found == {"total_run_count": 0} | theirs
    assert encode_meta({key: found[key] for key in meta}) == text
