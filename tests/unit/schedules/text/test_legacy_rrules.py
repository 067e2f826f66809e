"""What celery-redbeat lost is told, with a repair where there is one, and runs on as it is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from dateutil.rrule import FR, MO
from redbeat.decoder import RedBeatJSONEncoder as TheirEncoder
from redbeat.schedules import rrule as their_rrule

from redbeat_core.entries.record import EntryRecord
from redbeat_core.entries.view import decode_record
from redbeat_core.schedules import next_occurrence, parse_schedule, rrule, warnings_of
from redbeat_core.schedules.text.legacy_rrules import meant_in_utc

BERLIN = ZoneInfo("Europe/Berlin")
WINTER = datetime(2026, 1, 5, 9, tzinfo=BERLIN)
NOW = datetime(2026, 2, 1, tzinfo=UTC)


def app(zone: str) -> Celery:
    made = Celery(set_as_current=False)
    made.conf.timezone = zone
    return made


def stored(**arguments: Any) -> EntryRecord:
    """An entry as celery-redbeat writes it."""
    text = json.dumps(
        {"name": "x", "task": "t", "schedule": their_rrule(**arguments)}, cls=TheirEncoder
    )
    return EntryRecord("x", score=1.0, definition=text)


def test_an_offset_that_will_move_is_told_with_the_apps_zone_as_its_repair() -> None:
    view = decode_record(stored(freq="DAILY", dtstart=WINTER), app("Europe/Berlin"), NOW)
    (warning,) = view.warnings
    assert warning.text == (
        "fixed offset +01:00: will move at the next daylight-saving change on 2026-03-29; "
        "Europe/Berlin was meant?"
    )
    assert warning.proposal == rrule("DAILY", dtstart=WINTER)
    assert parse_schedule(warning.edit, now=NOW) == warning.proposal
    assert view.schedule is not None
    summer = datetime(2026, 7, 1, tzinfo=UTC)
    # As stored until it is edited.
    assert next_occurrence(view.schedule, summer) == datetime(2026, 7, 1, 8, tzinfo=UTC)
    assert next_occurrence(warning.proposal, summer) == datetime(2026, 7, 1, 7, tzinfo=UTC)


def test_in_summer_a_rule_of_winter_is_told_to_be_off() -> None:
    summer = datetime(2026, 7, 1, tzinfo=UTC)
    view = decode_record(stored(freq="DAILY", dtstart=WINTER), app("Europe/Berlin"), summer)
    assert "runs at other hours now" in view.warnings[0].text


@pytest.mark.parametrize(
    ("zone", "start", "arguments"),
    [
        ("Asia/Kolkata", datetime(2026, 1, 5, 9, tzinfo=ZoneInfo("Asia/Kolkata")), {}),
        ("Europe/Berlin", datetime(2026, 1, 5, 9, tzinfo=UTC), {}),
        ("Europe/Berlin", WINTER, {"freq": "MINUTELY"}),
        ("Europe/Berlin", datetime(2026, 1, 5, 9, tzinfo=UTC), {"byweekday": MO}),
        (
            "Europe/Berlin",
            datetime(2026, 1, 5, 9, tzinfo=UTC),
            {"freq": "MONTHLY", "byweekday": FR, "bysetpos": -1},
        ),
    ],
)
def test_what_says_all_that_was_meant_is_not_flagged(
    zone: str, start: datetime, arguments: dict[str, Any]
) -> None:
    record = stored(**{"freq": "DAILY", "dtstart": start, **arguments})
    assert decode_record(record, app(zone), NOW).warnings == ()


LONDON = datetime(2026, 1, 5, 9, tzinfo=ZoneInfo("Europe/London"))


def test_a_rule_stored_in_utc_is_told_where_the_apps_clock_may_have_been_meant() -> None:
    view = decode_record(stored(freq="DAILY", dtstart=LONDON), app("Europe/London"), NOW)
    (warning,) = view.warnings
    assert warning.text == (
        "stored in UTC: if Europe/London was meant, it will move by an hour at the next "
        "daylight-saving change on 2026-03-29; if UTC was, save it once more"
    )
    assert warning.proposal == rrule("DAILY", dtstart=LONDON)
    summer = datetime(2026, 7, 1, tzinfo=UTC)
    (late,) = decode_record(
        stored(freq="DAILY", dtstart=LONDON), app("Europe/London"), summer
    ).warnings
    assert "runs at other hours now" in late.text


@pytest.mark.parametrize(
    ("zone", "arguments"),
    [
        ("UTC", {}),
        ("Etc/UTC", {}),
        ("Atlantic/Reykjavik", {}),
        ("Europe/London", {"freq": "MINUTELY"}),
    ],
)
def test_a_rule_stored_in_utc_is_not_flagged_where_no_clock_will_move_it(
    zone: str, arguments: dict[str, Any]
) -> None:
    record = stored(**{"freq": "DAILY", "dtstart": LONDON, **arguments})
    assert decode_record(record, app(zone), NOW).warnings == ()


def test_a_rule_that_was_given_in_utc_is_not_flagged_until_another_program_writes_it() -> None:
    meant = meant_in_utc(rrule("DAILY", dtstart=LONDON.astimezone(UTC)))
    record = replace(stored(freq="DAILY", dtstart=LONDON), zone=meant)
    assert decode_record(record, app("Europe/London"), NOW).warnings == ()
    later = LONDON + timedelta(days=1)
    other = replace(stored(freq="DAILY", dtstart=later), zone=meant)
    assert decode_record(other, app("Europe/London"), NOW).warnings != ()


def test_what_was_read_from_the_old_format_says_nothing_about_its_zone() -> None:
    read = decode_record(stored(freq="DAILY", dtstart=LONDON)).schedule
    assert meant_in_utc(read) is None
    assert meant_in_utc(rrule("DAILY", dtstart=LONDON)) is None


def test_an_offset_that_is_none_of_the_apps_has_no_repair() -> None:
    start = datetime(2026, 1, 5, 9, tzinfo=timezone(timedelta(hours=-5)))
    (warning,) = warnings_of(rrule("DAILY", dtstart=start), BERLIN, NOW)
    assert warning.text.startswith("fixed offset -05:00: does not follow daylight saving")
    assert warning.proposal is None
    assert warning.edit == ""


def test_a_weekday_that_lost_its_number_is_told() -> None:
    start = datetime(2026, 1, 5, 9, tzinfo=UTC)
    record = stored(freq="MONTHLY", dtstart=start, byweekday=FR(-1))
    (warning,) = decode_record(record, app("UTC"), NOW).warnings
    assert "celery-redbeat loses the number of a weekday" in warning.text
    assert "BYDAY=-1FR" in warning.text
    assert warning.proposal is None


@pytest.mark.parametrize(
    ("arguments", "words", "edit"),
    [
        ({"freq": "MONTHLY", "byweekday": [MO(1), FR(1)]}, "MO, FR of each month", "-1MO,-1FR"),
        (
            {"freq": "MONTHLY", "byweekday": FR(1), "interval": 3},
            "FR of every 3 months",
            "-1FR",
        ),
        ({"freq": "YEARLY", "byweekday": FR(1), "bymonth": 3}, "FR of Mar of each year", "-1FR"),
    ],
)
def test_lost_numbers_are_told_whatever_else_the_rule_says(
    arguments: dict[str, Any], words: str, edit: str
) -> None:
    record = stored(dtstart=datetime(2026, 1, 5, 9, tzinfo=UTC), **arguments)
    (warning,) = decode_record(record, app("UTC"), NOW).warnings
    assert words in warning.text
    assert f"BYDAY={edit}" in warning.text
    assert ("FREQ=WEEKLY" in warning.text) == ("interval" not in arguments)


def test_our_own_rules_are_not_flagged() -> None:
    for made in (
        rrule("MONTHLY", dtstart=WINTER, byweekday=FR),
        rrule("MONTHLY", dtstart=WINTER.astimezone(UTC), byweekday=FR(-1)),
        parse_schedule("0 9 * * *"),
        None,
    ):
        assert warnings_of(made, BERLIN, NOW) == ()
