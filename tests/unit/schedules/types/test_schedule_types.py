"""Every type of schedule is a value, is stored as it is, and runs under Celery's own beat too."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import pairwise
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import BaseSchedule, crontab, schedstate, schedule
from celery.schedules import solar as celery_solar
from dateutil.tz import gettz, tzstr
from hypothesis import given, reject
from hypothesis import strategies as st

from redbeat_core.entries.codec import (
    DecodeError,
    RedBeatJSONDecoder,
    RedBeatJSONEncoder,
    decode_definition,
)
from redbeat_core.planning.plan import first_due
from redbeat_core.schedules import (
    DstPolicy,
    advance,
    anchored_interval,
    next_occurrence,
    occurrences,
    once,
    parse_schedule,
    rrule,
    rrule_set,
    solar,
    zoned_crontab,
)
from redbeat_core.schedules.types.base import NEVER_SECONDS
from tests.support.effort import examples
from tests.unit.strategies import moments, schedules, suns

NOW = datetime(2026, 5, 5, 5, 17, 42, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 1, 1, 9, tzinfo=BERLIN)


def wire(made: BaseSchedule) -> str:
    return json.dumps(made, cls=RedBeatJSONEncoder)


def unwired(text: str) -> Any:
    return json.loads(text, cls=RedBeatJSONDecoder)


def times(made: BaseSchedule, count: int = 5, after: datetime = NOW, **more: Any) -> list[str]:
    found = occurrences(made, anchor=None, now=after, count=count, **more)
    return [run.astimezone(BERLIN).strftime("%d %H:%M") for run in found]


@examples(300)
@given(schedules())
def test_every_schedule_is_read_as_it_was_written(made: BaseSchedule) -> None:
    back = unwired(wire(made))
    assert back == made
    assert type(back) is type(made)
    assert wire(back) == wire(made)


@examples(200)
@given(schedules())
def test_copies_and_pickles_of_every_schedule_are_equal(made: BaseSchedule) -> None:
    for twin in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert twin == made
        assert type(twin) is type(made)
        if type(made).__hash__ is not None:  # Celery's own have none
            assert hash(twin) == hash(made)


@examples(200)
@given(schedules(), moments(2020, 2030))
def test_every_schedule_goes_forward_and_answers_beat(made: BaseSchedule, now: datetime) -> None:
    walk = occurrences(made, anchor=None, now=now, count=5)
    assert all(early < late for early, late in pairwise([now, *walk]))
    twin = copy.copy(made)
    twin.app = Celery(set_as_current=False)
    twin.nowfun = lambda: now
    due, seconds = twin.is_due(now - timedelta(days=1))
    assert due in (True, False)
    assert seconds is None or seconds >= 0


class InTime(ScheduleEntry):
    """An entry that takes the time from its schedule's clock."""

    def default_now(self) -> datetime:
        return cast(datetime, self.schedule.now())

    _default_now = default_now


class Recorder(Scheduler):
    """Celery's own scheduler; it keeps what it would send."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.sent: list[str] = []
        super().__init__(*args, lazy=True, **kwargs)

    def apply_async(self, entry: ScheduleEntry, *_args: Any, **_kwargs: Any) -> Any:
        self.sent.append(entry.name)
        return type("Result", (), {"id": "1"})


@pytest.mark.parametrize(
    "text",
    [
        "at 2026-05-05 07:18 Europe/Berlin",
        "18 7 * * * Europe/Berlin",
        "every 1h from 2026-01-01 00:18 Europe/Berlin",
        "DTSTART;TZID=Europe/Berlin:20260101T071800 RRULE:FREQ=DAILY EXDATE:20270101T000000Z",
    ],
)
def test_celery_beat_itself_runs_our_types(text: str) -> None:
    app = Celery(broker="memory://", set_as_current=False)
    clock = [NOW]
    made = parse_schedule(text, now=NOW)
    made.nowfun = lambda: clock[0]
    scheduler = Recorder(app=app)
    scheduler.schedule["x"] = ScheduleEntry(
        name="x", task="t", schedule=made, app=app, last_run_at=NOW
    )
    scheduler.tick()
    assert scheduler.sent == []
    clock[0] = NOW + timedelta(seconds=18)
    scheduler = Recorder(app=app)
    scheduler.schedule["x"] = ScheduleEntry(
        name="x", task="t", schedule=made, app=app, last_run_at=NOW
    )
    scheduler.tick()
    assert scheduler.sent == ["x"]


def test_a_crontab_with_a_zone_keeps_it_whatever_the_app_says() -> None:
    app = Celery(set_as_current=False)
    app.conf.timezone = "Asia/Tokyo"
    made = zoned_crontab(0, 9, tz="Europe/Berlin", app=app)
    made.app = app
    assert times(made, 2) == ["05 09:00", "06 09:00"]
    assert made != crontab(0, 9)
    assert crontab(0, 9) != made
    assert made != zoned_crontab(0, 9, tz="Europe/Paris")
    assert json.loads(wire(made))["tz"] == "Europe/Berlin"


def test_a_one_off_runs_once_and_is_over() -> None:
    made = once(datetime(2026, 12, 24, 18), "Europe/Berlin")
    at = datetime(2026, 12, 24, 17, tzinfo=UTC)
    assert next_occurrence(made, NOW) == at
    assert advance(made, at, at).next is None
    made.nowfun = lambda: at
    assert made.is_due(NOW) == schedstate(True, NEVER_SECONDS)
    assert made.is_due(at) == schedstate(False, NEVER_SECONDS)


@pytest.mark.parametrize(
    "text",
    [
        "at 2026-05-05 05:18 UTC",
        "DTSTART:20260505T051800Z RRULE:FREQ=DAILY;COUNT=1",
        "DTSTART:20260505T051800Z RRULE:FREQ=DAILY;UNTIL=20260505T060000Z",
        "DTSTART:20260505T051800Z RRULE:FREQ=DAILY;COUNT=2 EXDATE:20260506T051800Z",
    ],
)
def test_a_finished_schedule_leaves_the_others_running_under_celery_beat(text: str) -> None:
    app = Celery(broker="memory://", set_as_current=False)
    clock = [NOW]
    made, often = parse_schedule(text, now=NOW), schedule(10, app=app)
    made.nowfun = often.nowfun = lambda: clock[0]
    scheduler = Recorder(app=app)
    for name, timing in (("short", made), ("often", often)):
        scheduler.schedule[name] = InTime(
            name=name, task="t", schedule=timing, app=app, last_run_at=NOW
        )
    for _ in range(60):
        clock[0] += timedelta(seconds=2)
        for _ in range(4):
            scheduler.tick()
    assert scheduler.sent.count("short") == 1
    assert scheduler.sent.count("often") == 12


def test_a_one_off_that_never_ran_waits_for_its_time() -> None:
    made = once(datetime(2026, 12, 24, 18), "Europe/Berlin")
    assert first_due(made, None, NOW) == datetime(2026, 12, 24, 17, tzinfo=UTC)


def test_a_one_off_in_a_gap_is_what_the_clocks_show_then() -> None:
    made = once(datetime(2026, 3, 29, 2, 30), BERLIN)
    assert made.at.hour == 3
    assert made == once(datetime(2026, 3, 29, 3, 30), BERLIN)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: once(datetime(2026, 1, 1)), "has no time zone: give tz="),
        (lambda: once(cast(datetime, "noon")), "must be a datetime, not str"),
        (lambda: once(datetime(1, 1, 1), UTC), "years 2 to 9998"),
        (lambda: anchored_interval(0, START), "more than 0 seconds"),
        (lambda: zoned_crontab(tz="Europe/Belin"), "did you mean Europe/Berlin"),
        (lambda: zoned_crontab(tz="localtime"), "there is no time zone 'localtime'"),
        (lambda: zoned_crontab(tz="posixrules"), "there is no time zone 'posixrules'"),
        (lambda: zoned_crontab(tz=tzstr("EST5EDT")), "must have a name"),
        (lambda: zoned_crontab(tz=timezone(timedelta(hours=1))), "must have a name"),
        (lambda: rrule_set(), "needs a rule or a date"),
        (lambda: rrule_set([rrule("DAILY")]), "need a dtstart"),
        (
            lambda: rrule_set([rrule("DAILY", START), rrule("DAILY", START + timedelta(1))]),
            "must have one dtstart",
        ),
        (lambda: rrule_set([rrule("DAILY", START)] * 11), "at most 10"),
        (lambda: rrule_set(["FREQ=DAILY"]), "which is no rrule"),  # type: ignore[list-item]
        (lambda: solar("noon", 0, 0), "event 'noon' is none of"),
        (lambda: solar("sunset", 91, 0), "lat 91 is not within -89.9 to 89.9"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(make: Any, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert reason in str(caught.value)


def test_an_anchored_interval_keeps_its_phase() -> None:
    made = anchored_interval(timedelta(minutes=7), START)
    runs = occurrences(made, anchor=NOW, now=NOW, count=100)
    assert all((run - START) % timedelta(minutes=7) == timedelta(0) for run in runs)
    late = advance(made, runs[0], runs[50] + timedelta(seconds=1))
    assert (late.next, late.missed) == (runs[51], 50)
    before = START - timedelta(days=1)
    assert next_occurrence(made, before) == START
    assert made != schedule(timedelta(minutes=7))
    assert schedule(timedelta(minutes=7)) != made


def test_a_set_adds_and_takes_away() -> None:
    made = parse_schedule(
        """DTSTART;TZID=Europe/Berlin:20260101T090000
        RRULE:FREQ=DAILY
        RRULE:FREQ=WEEKLY;BYDAY=WE;BYHOUR=12
        RDATE;TZID=Europe/Berlin:20260505T100000,20260506T090000
        EXRULE:FREQ=WEEKLY;BYDAY=SA,SU
        EXDATE;TZID=Europe/Berlin:20260508T090000""",
        now=NOW,
    )
    expected = ["05 09:00", "05 10:00", "06 09:00", "06 12:00", "07 09:00", "11 09:00"]
    assert times(made, 6) == expected


def test_a_set_of_one_rule_is_that_rule() -> None:
    rule = rrule("DAILY", START)
    assert rrule_set([rule]) == rule
    assert rule == rrule_set([rule])
    assert hash(rrule_set([rule])) == hash(rule)
    assert rrule_set([rule], exdates=[START]) != rule


def test_an_excluded_local_time_is_left_out_however_often_it_comes() -> None:
    made = parse_schedule(
        "DTSTART;TZID=Europe/Berlin:20260101T023000 RRULE:FREQ=DAILY "
        "EXDATE;TZID=Europe/Berlin:20261025T023000",
        now=NOW,
    )
    eve = datetime(2026, 10, 24, 12, tzinfo=UTC)
    for ambiguous in ("first", "last", "both"):
        dst = DstPolicy(ambiguous=ambiguous)
        assert times(made, 1, eve, dst=dst) == ["26 02:30"]


@examples(60)
@given(suns, moments(2020, 2030))
def test_the_sun_does_what_celery_says(made: solar, now: datetime) -> None:
    theirs = celery_solar(made.event, made.lat, made.lon, nowfun=lambda: now)
    theirs.app = Celery(set_as_current=False)
    if made.event == "dusk_astronomical":
        # Celery 5.4 has the sun above the horizon then.
        theirs.cal.horizon = "-18"
    ours = next_occurrence(made, now)
    assert ours is not None
    try:
        expected = now + theirs.remaining_estimate(now)
    except TypeError:
        reject()  # Celery's own fault where the sun stays up or down.
    # Celery may give the same event once more within a second of it.
    assert abs(ours - expected) < timedelta(seconds=2) or expected - now < timedelta(seconds=2)
    assert next_occurrence(theirs, now) == ours


@examples(40)
@given(suns, moments(2020, 2030), st.integers(0, 86_400))
def test_an_event_of_the_sun_has_one_time(made: solar, now: datetime, seconds: int) -> None:
    first, second, third = occurrences(made, anchor=None, now=now, count=3)
    between = min(second - timedelta(seconds=1), first + timedelta(seconds=seconds))
    assert next_occurrence(made, first) == second
    assert next_occurrence(made, between) == second
    assert next_occurrence(made, second) == third


def test_where_the_sun_does_not_set_it_is_waited_for() -> None:
    made = solar("sunset", 78.22, 15.63)
    found = next_occurrence(made, datetime(2026, 5, 1, tzinfo=UTC))
    assert found is not None
    assert found.month == 8


def test_celerys_own_sun_is_stored_and_read_as_ours() -> None:
    theirs = celery_solar("sunset", 52, 13)
    assert unwired(wire(theirs)) == theirs
    assert theirs == unwired(wire(theirs))


def test_without_ephem_a_stored_sun_is_an_invalid_entry_with_the_reason() -> None:
    program = """
import sys
sys.modules["ephem"] = None
from redbeat_core.entries.codec import DecodeError, decode_definition
from redbeat_core.schedules import ScheduleError, parse_schedule
try:
    decode_definition('{"name": "x", "task": "t", "schedule": {"__type__": "solar", '
                      '"event": "sunset", "lat": 52, "lon": 13}}')
except DecodeError as exc:
    print(exc)
try:
    parse_schedule("sunset 52 13")
except ScheduleError as exc:
    print(exc)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    first, second = done.stdout.splitlines()
    assert first.startswith("solar: a schedule of the sun needs the package ephem")
    assert "pip install 'redbeat-tui[solar]'" in second


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ('{"__type__": "once"}', "once: the field 'at' is missing"),
        ('{"__type__": "once", "at": 5}', "at must be an object of the __type__ datetime"),
        ('{"__type__": "crontab-tz", "minute": "0"}', "tz must be the name of a zone"),
        ('{"__type__": "crontab-tz", "tz": "Nowhere"}', "no time zone 'Nowhere'"),
        ('{"__type__": "crontab-tz", "tz": "UTC", "hour": 25}', "hour 25 is no crontab field"),
        ('{"__type__": "interval-from", "every": 5}', "the field 'from' is missing"),
        ('{"__type__": "interval-from", "every": 0, "from": 1}', "every is 0"),
        ('{"__type__": "rrule-set", "rule": 5}', "rule must be a list"),
        ('{"__type__": "rrule-set", "rule": [5]}', "holds a int, which is no rrule"),
        ('{"__type__": "rrule-set", "rdate": [5]}', "rdate must be an object"),
        ('{"__type__": "rrule-set"}', "needs a rule or a date"),
        ('{"__type__": "solar", "event": "noon", "lat": 1, "lon": 1}', "event 'noon' is none"),
        ('{"__type__": "solar", "event": "sunset", "lat": true, "lon": 1}', "lat True is not"),
        ('{"__type__": "solar", "event": ["x"], "lat": 1, "lon": 1}', "is none of"),
    ],
)
def test_a_stored_schedule_that_cannot_be_is_an_error_with_the_reason(
    stored: str, reason: str
) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_definition(f'{{"name": "x", "task": "t", "schedule": {stored}}}')
    assert reason in str(caught.value)


class Pytz(tzinfo):
    """A zone as pytz has it: the name is ``zone``, the offset is that of one part of the year."""

    zone = "Europe/Berlin"

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else timedelta(hours=1)

    def dst(self, _moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, _moment: datetime | None) -> str:
        return "CET"


@pytest.mark.parametrize("zone", [cast(tzinfo, gettz("Europe/Berlin")), Pytz()])
def test_a_zone_of_another_library_is_the_zone_of_its_name(zone: tzinfo) -> None:
    start = datetime(2026, 1, 1, 9, tzinfo=zone)
    rule, same = rrule("DAILY", dtstart=start), rrule("DAILY", dtstart=START)
    assert rule == same
    assert times(rule) == times(unwired(wire(rule))) == times(same)
    assert zoned_crontab(0, 9, tz=zone) == zoned_crontab(0, 9, tz="Europe/Berlin")
    assert once(start) == unwired(wire(once(start))) == once(START)
    assert rrule_set([rule], exdates=[start]) == rrule_set([same], exdates=[START])
