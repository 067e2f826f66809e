"""Every definition and meta is read, or refused with a sentence that names the cause."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import BaseSchedule, crontab, schedule
from dateutil.rrule import FR, MO, weekday
from hypothesis import example, given
from hypothesis import strategies as st

from redbeat_core.entries.codec import (
    DecodeError,
    RedBeatJSONDecoder,
    RedBeatJSONEncoder,
    decode_definition,
    decode_meta,
    encode_definition,
    encode_meta,
    from_timestamp,
    get_utcoffset_minutes,
    to_timestamp,
)
from redbeat_core.schedules import rrule
from tests.support.effort import examples
from tests.unit.strategies import crontabs, intervals, rules

PARIS = ZoneInfo("Europe/Paris")
START = datetime(2026, 1, 5, 9, 0, 0, tzinfo=UTC)


def round_trip(value: Any) -> Any:
    return json.loads(json.dumps(value, cls=RedBeatJSONEncoder), cls=RedBeatJSONDecoder)


def wire(value: Any) -> Any:
    return json.loads(json.dumps(value, cls=RedBeatJSONEncoder))


def definition(**changes: Any) -> str:
    given: dict[str, Any] = {
        "name": "n",
        "task": "t",
        "schedule": {"__type__": "interval", "every": 5, "relative": False},
    }
    given |= changes
    return json.dumps({key: value for key, value in given.items() if value is not ...})


def refusal(text: str) -> str:
    with pytest.raises(DecodeError) as caught:
        decode_definition(text)
    return str(caught.value)


@examples(300)
@given(st.one_of(intervals, crontabs.filter(lambda c: not _sets(c)), rules()))
def test_a_schedule_comes_back_as_it_was(made: BaseSchedule) -> None:
    back = round_trip(made)
    assert type(back) is type(made)
    assert back == made
    assert getattr(back, "relative", None) == getattr(made, "relative", None)


def _sets(made: crontab) -> bool:
    """Sets are no JSON, in celery-redbeat neither."""
    return any(
        isinstance(getattr(made, f"_orig_{name}"), set)
        for name in ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
    )


@pytest.mark.parametrize(
    "moment",
    [
        START,
        START.astimezone(ZoneInfo("UTC")),
        START.astimezone(PARIS),
        START.replace(microsecond=123_456),
        START.astimezone(timezone(timedelta(hours=-3, minutes=-30))),
        START.astimezone(timezone(timedelta(hours=1, seconds=7))),
        datetime(2026, 10, 25, 2, 30, tzinfo=PARIS, fold=1),
    ],
)
def test_a_datetime_comes_back_with_its_zone(moment: datetime) -> None:
    back = round_trip(moment)
    assert (back, back.utcoffset()) == (moment, moment.utcoffset())
    assert back.astimezone(UTC) == moment.astimezone(UTC)
    assert getattr(back.tzinfo, "key", None) == getattr(moment.tzinfo, "key", None)


def test_a_datetime_without_a_zone_is_utc() -> None:
    assert round_trip(datetime(2026, 1, 1)) == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_weekday_has_its_number_only_when_it_counts() -> None:
    assert wire(MO) == {"__type__": "weekday", "wkday": 0}
    assert wire(FR(-1)) == {"__type__": "weekday", "wkday": 4, "n": -1}
    assert round_trip(FR(-1)) == weekday(4, -1)


def test_a_rule_in_a_zone_of_its_own_keeps_it() -> None:
    rule = rrule("DAILY", dtstart=datetime(2026, 7, 1, 9, tzinfo=PARIS))
    assert wire(rule)["__type__"] == "rrule-tz"
    assert wire(rule)["dtstart"] == "2026-07-01T09:00:00"
    assert wire(rule)["tz"] == "Europe/Paris"
    assert round_trip(rule).dtstart.tzinfo is PARIS


@pytest.mark.parametrize("zone", [UTC, ZoneInfo("UTC"), timezone(timedelta(hours=2))])
def test_a_rule_that_celery_redbeat_can_express_is_written_its_way(zone: Any) -> None:
    assert wire(rrule("DAILY", dtstart=START.astimezone(zone)))["__type__"] == "rrule"


def test_a_rule_that_starts_in_the_second_pass_of_an_hour_still_does() -> None:
    start = datetime(2026, 10, 25, 2, 30, tzinfo=PARIS, fold=1)
    rule = rrule("HOURLY", dtstart=start)
    assert round_trip(rule).dtstart.astimezone(UTC) == start.astimezone(UTC)


def test_an_object_of_a_type_that_is_not_known_stays_as_it_is() -> None:
    value = {"a": {"__type__": "tide", "lat": 1}, "b": [{"__type__": 5}]}
    assert json.loads(json.dumps(value), cls=RedBeatJSONDecoder) == value


def test_timestamps_are_whole_seconds_and_minutes_from_utc() -> None:
    moment = datetime(2026, 7, 1, 9, 0, 0, 999_999, tzinfo=PARIS)
    assert to_timestamp(moment) == 1782889200
    assert get_utcoffset_minutes(moment) == 120
    assert from_timestamp(1782889200, 120) == moment.replace(microsecond=0)
    assert from_timestamp(0).utcoffset() == timedelta(0)


def test_a_definition_is_written_whole_and_in_order() -> None:
    text = encode_definition({"schedule": schedule(5), "task": "t", "name": "n"})
    assert text == (
        '{"name": "n", "task": "t", "args": null, "kwargs": {}, "options": {}, '
        '"schedule": {"__type__": "interval", "every": 5.0, "relative": false}, "enabled": true}'
    )


def test_what_is_absent_from_a_definition_is_what_celery_redbeat_means() -> None:
    found = decode_definition(definition())
    assert found["args"] is None
    assert found["kwargs"] == {}
    assert found["options"] == {}
    assert found["enabled"] is True
    assert found["schedule"] == schedule(5)


def test_a_bare_number_of_seconds_is_an_interval_as_in_celery() -> None:
    assert decode_definition(definition(schedule=30))["schedule"] == schedule(30)


def test_fields_that_celery_redbeat_takes_too_survive_a_rewrite() -> None:
    found = decode_definition(definition(total_run_count=3))
    assert json.loads(encode_definition(found))["total_run_count"] == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the definition is not JSON: Expecting value at character 1"),
        ("{", "not JSON"),
        ("[1]", "must be a JSON object, not [1]"),
        ("null", "must be a JSON object, not None"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"name": ' + "9" * 5000 + "}", "too many digits"),
        ('{"name": "\udcff"}', "bytes that are not UTF-8"),
        (definition(name=...), "no 'name'"),
        (definition(name=5), "name must be a text"),
        (definition(name=""), "name must be a text that is not empty"),
        (definition(name=":x"), "reserved"),
        (definition(name="\ud800"), "half a character"),
        (definition(task=...), "no 'task'"),
        (definition(task=["t"]), "task must be a text"),
        (definition(bogus=1), "unknown field 'bogus'"),
        (definition(args={"a": 1}), "args must be a list"),
        (definition(args="abc"), "args must be a list"),
        (definition(kwargs=[1]), "kwargs must be an object"),
        (definition(options="queue"), "options must be an object"),
        (definition(enabled="yes"), "enabled must be true or false, not 'yes'"),
        (definition(enabled=2), "enabled must be true or false"),
        (definition(schedule=...), "no 'schedule'"),
        (definition(schedule=None), "schedule must be an object"),
        (definition(schedule="every 5s"), "schedule must be an object"),
        (definition(schedule=True), "schedule must be an object"),
        (definition(schedule=0), "more than 0 seconds"),
        (definition(schedule={}), "no __type__"),
        (definition(schedule={"__type__": "tide"}), "unknown schedule type 'tide'"),
        (definition(schedule={"__type__": []}), "unknown schedule type []"),
        (definition(schedule={"__type__": "weekday", "wkday": 1}), "schedule must be an object"),
        (
            definition(kwargs={"at": {"__type__": "datetime", "year": 2026}}),
            "datetime: the field 'month' is missing",
        ),
    ],
)
def test_a_definition_that_cannot_run_says_why(text: str, reason: str) -> None:
    assert reason in refusal(text)


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ({"__type__": "interval", "every": 5}, "interval: the field 'relative' is missing"),
        ({"__type__": "interval", "relative": False}, "the field 'every' is missing"),
        ({"__type__": "interval", "every": "5", "relative": False}, "number of seconds, not '5'"),
        ({"__type__": "interval", "every": 0, "relative": False}, "more than 0 seconds"),
        ({"__type__": "interval", "every": -1, "relative": False}, "more than 0 seconds"),
        ({"__type__": "interval", "every": 1e300, "relative": False}, "finite"),
        ({"__type__": "interval", "every": float("inf"), "relative": False}, "finite"),
        ({"__type__": "interval", "every": float("nan"), "relative": False}, "number of seconds"),
        ({"__type__": "interval", "every": 10**400, "relative": False}, "finite"),
        ({"__type__": "interval", "every": 1e-9, "relative": False}, "a microsecond"),
        ({"__type__": "interval", "every": 5, "relative": "no"}, "true or false"),
        ({"__type__": "interval", "every": 5, "relative": False, "x": 1}, "unknown field 'x'"),
        (
            {"__type__": "crontab", "month_of_year": "[1-12]"},
            "month_of_year '[1-12]' is no crontab field: it holds 1 to 12, written as in",
        ),
        ({"__type__": "crontab", "minute": "60"}, "minute '60' is no crontab field"),
        ({"__type__": "crontab", "minute": "0-59/0"}, "minute '0-59/0'"),
        ({"__type__": "crontab", "minute": ""}, "minute ''"),
        ({"__type__": "crontab", "hour": [1, "2"]}, "hour [1, '2']"),
        ({"__type__": "crontab", "hour": [1.5]}, "hour [1.5]"),
        ({"__type__": "crontab", "hour": []}, "hour []"),
        ({"__type__": "crontab", "hour": True}, "hour True"),
        ({"__type__": "crontab", "hour": None}, "hour None"),
        ({"__type__": "crontab", "hour": {"a": 1}}, "hour {'a': 1}"),
        ({"__type__": "crontab", "hour": 10**400}, "is no crontab field"),
        ({"__type__": "crontab", "minute": "1," * 10**6}, "is no crontab field"),
        ({"__type__": "crontab", "day_of_week": "blursday"}, "day_of_week 'blursday'"),
        ({"__type__": "crontab", "day": 1}, "unknown field 'day'; it takes minute"),
        ({"__type__": "crontab", "app": 1}, "unknown field 'app'"),
        ({"__type__": "rrule"}, "rrule: the field 'freq' is missing"),
        ({"__type__": "rrule", "freq": 9}, "freq 9 is none of"),
        ({"__type__": "rrule", "freq": 3, "interval": 0}, "interval must be a whole number"),
        ({"__type__": "rrule", "freq": 3, "interval": None}, "interval must be a whole number"),
        ({"__type__": "rrule", "freq": 3, "byhour": 25}, "byhour holds 25"),
        ({"__type__": "rrule", "freq": 3, "byminute": [0] * 5000}, "byminute has 5000 values"),
        ({"__type__": "rrule", "freq": 3, "dtstart": "x"}, "dtstart and dtstart_tz must be"),
        ({"__type__": "rrule", "freq": 3, "dtstart": 1e300}, "not within the years 1 to 9999"),
        ({"__type__": "rrule", "freq": 3, "dtstart": 0, "dtstart_tz": 9e9}, "a day of UTC"),
        ({"__type__": "rrule", "freq": 3, "nowfun": 1}, "unknown field 'nowfun'"),
        ({"__type__": "rrule-tz", "freq": 3}, "the field 'dtstart' is missing"),
        (
            {"__type__": "rrule-tz", "freq": 3, "dtstart": "2026-01-01", "tz": "Europe/Pariss"},
            "no time zone 'Europe/Pariss'; did you mean Europe/Paris",
        ),
        ({"__type__": "rrule-tz", "freq": 3, "dtstart": "soon", "tz": "UTC"}, "soon"),
        ({"__type__": "rrule-tz", "freq": 3, "dtstart": 5, "tz": "UTC"}, "must be texts"),
    ],
)
def test_a_schedule_that_cannot_run_says_why(schedule: dict[str, Any], reason: str) -> None:
    start = time.thread_time()
    assert reason in refusal(definition(schedule=schedule))
    assert time.thread_time() - start < 0.5


@pytest.mark.parametrize(
    "schedule",
    [
        {"__type__": "crontab", "minute": "*/99999999999"},
        {"__type__": "crontab", "minute": "0-59/" + "9" * 900},
        {"__type__": "rrule", "freq": 6, "interval": 2**31 - 1, "dtstart": 0},
        {"__type__": "rrule", "freq": 3, "dtstart": 0, "count": 2**31 - 1},
        {"__type__": "rrule", "freq": 3, "dtstart": 0, "bymonth": 2, "bymonthday": 30},
    ],
)
def test_reading_an_absurd_schedule_takes_no_time(schedule: dict[str, Any]) -> None:
    start = time.thread_time()
    decode_definition(definition(schedule=schedule))
    assert time.thread_time() - start < 0.2


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "\0", "x" * 10_000, 9e9])
def test_a_zone_that_does_not_exist_is_named(zone: Any) -> None:
    at = {"__type__": "datetime", "year": 2026, "month": 1, "day": 1, "timezone": zone}
    assert refusal(definition(args=[at])).startswith("datetime: ")


@pytest.mark.parametrize("text", [None, ""])
def test_an_entry_without_meta_has_never_run(text: str | None) -> None:
    assert decode_meta(text) == {"last_run_at": None, "total_run_count": 0}


def test_meta_comes_back_as_it_was() -> None:
    meta = {"last_run_at": START, "total_run_count": 5}
    assert decode_meta(encode_meta(meta)) == meta
    assert encode_meta({"last_run_at": None}) == '{"last_run_at": null}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nope", "the meta is not JSON"),
        ("[]", "the meta must be a JSON object"),
        ("{}", "no 'last_run_at'"),
        ('{"last_run_at": 5}', "last_run_at must be a datetime or null, not 5"),
        ('{"last_run_at": null, "total_run_count": -1}', "total_run_count must be a whole number"),
        ('{"last_run_at": null, "total_run_count": "x"}', "total_run_count must be"),
        ('{"last_run_at": null, "total_run_count": 1e9}', "total_run_count must be"),
        ('{"last_run_at": null, "x": 1}', "unknown field 'x' in the meta"),
        ('{"last_run_at": {"__type__": "datetime"}}', "the field 'year' is missing"),
    ],
)
def test_meta_that_cannot_be_read_says_why(text: str, reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_meta(text)
    assert reason in str(caught.value)


_SOME_NAMES = """__type__ name task args kwargs options schedule enabled every relative minute hour
    day_of_week day_of_month month_of_year freq interval wkst count bysetpos bymonth bymonthday
    byyearday byeaster byweekno byweekday byhour byminute bysecond dtstart dtstart_tz until
    until_tz tz fold wkday n year month day second microsecond timezone last_run_at
    total_run_count"""
_SOME_VALUES = "interval crontab rrule rrule-tz weekday datetime UTC * */5 1-5 mon"
_FIELDS = st.sampled_from(_SOME_NAMES.split())
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-60, 60),
    st.sampled_from((10**400, -(10**400), 2**63, 10**18)),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(_SOME_VALUES.split()),
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(_FIELDS | st.text(max_size=5), inner)
    ),
    max_leaves=30,
)
_KNOWN: dict[str, tuple[str, ...]] = {
    "interval": ("every", "relative"),
    "crontab": ("minute", "hour", "day_of_week", "day_of_month", "month_of_year"),
    "rrule": ("freq", "interval", "count", "byhour", "byweekday", "dtstart", "dtstart_tz", "until"),
    "rrule-tz": ("freq", "dtstart", "tz", "fold"),
    "weekday": ("wkday", "n"),
    "datetime": ("year", "month", "day", "hour", "microsecond", "fold", "timezone"),
}


@st.composite
def _typed(draw: st.DrawFn) -> dict[str, Any]:
    """An object of a known type with its own fields, and anything in them."""
    kind = draw(st.sampled_from(sorted(_KNOWN)))
    names = draw(st.lists(st.sampled_from(_KNOWN[kind]), unique=True))
    return {"__type__": kind} | {name: draw(_JSON | st.integers(0, 12)) for name in names}


@examples(500)
@given(
    st.one_of(
        st.text(),
        _JSON.map(json.dumps),
        _typed().map(json.dumps),
        _typed().map(lambda made: definition(schedule=made)),
        _typed().map(lambda made: definition(kwargs={"a": made})),
        _typed().map(lambda made: json.dumps({"last_run_at": made, "total_run_count": 1})),
    )
)
@example('{"name": "a", "task": "b", "schedule": 1e-320}')
@example('{"a": ' + "[" * 5000)
@example("1" * 10_000)
@example('{"last_run_at": {"__type__": "datetime", "year": 1, "month": 1, "day": 1}}')
def test_whatever_the_text_is_it_is_read_or_refused_with_a_sentence(text: str) -> None:
    for read in (decode_definition, decode_meta):
        reason = "none"
        try:
            read(text)
        except DecodeError as exc:
            reason = str(exc)
        assert 0 < len(reason) < 600
        assert "\n" not in reason
