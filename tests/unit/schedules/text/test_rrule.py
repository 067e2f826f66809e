"""Blocks of RFC 5545 are read as calendars write them, and every rule has a text that says it."""

from __future__ import annotations

from datetime import UTC

import pytest
from hypothesis import given

from redbeat_core.schedules import (
    ScheduleError,
    format_schedule,
    parse_schedule,
    rrule,
    rrule_set,
)
from redbeat_core.schedules.text.rrule import parse_rule
from tests.support.effort import examples
from tests.unit.schedules.types.test_next_run import NOW
from tests.unit.strategies import rules, sets


@examples(300)
@given(rules() | sets())
def test_the_text_of_a_rule_says_it_also_where_it_never_runs(made: rrule | rrule_set) -> None:
    text = format_schedule(made)
    assert parse_rule(text, UTC, NOW) == made
    folded = "".join(
        letter if number % 60 else f"{letter}\r\n " for number, letter in enumerate(text, 1)
    )
    assert parse_rule(folded, UTC, NOW) == made
    assert parse_rule(text.replace(" ", "\r\n"), UTC, NOW) == made


BLOCK = "DTSTART;TZID=Europe/Berlin:20260701T090000 RRULE:FREQ=DAILY EXDATE;TZID=Europe/Berlin:"

QUOTED = 'dtstart;value="date-time";tzid="Europe/Berlin":20260701T090000\nrrule:freq=daily'


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('DTSTART;TZID="Europe/Berlin":20260701T090000\r\nRRULE:FREQ=DAILY', BLOCK[:60]),
        ("DTSTART;TZID=Europe/Ber\r\n lin:20260701T0\r\n\t90000\r\nRRULE:FREQ=DAILY", BLOCK[:60]),
        ("DTSTART;TZID=Europe/Berlin:20260701T090000\n  RRULE:FREQ=DAILY", BLOCK[:60]),
        ("dtstart;tzid=Europe/Berlin:20260701t090000\nrrule:freq=daily", BLOCK[:60]),
        (
            f"{QUOTED}\nexdate;tzid=Europe/Berlin:20260702T090000,\n 20260703T090000",
            f"{BLOCK}20260702T090000,20260703T090000",
        ),
        (
            "DTSTART;VALUE=DATE:20260701 RRULE:FREQ=DAILY EXDATE;VALUE=DATE:20260702,20260703",
            "DTSTART:20260701T000000Z RRULE:FREQ=DAILY EXDATE:20260702T000000Z,20260703T000000Z",
        ),
    ],
)
def test_a_block_is_read_as_calendars_write_it(written: str, meant: str) -> None:
    assert parse_schedule(written, now=NOW) == parse_schedule(meant, now=NOW)


@pytest.mark.parametrize(
    ("text", "at", "reason"),
    [
        ('DTSTART;TZID="Europe/Berlni":20260701T090000 FREQ=DAILY', "Europe/Berlni", "Berlin"),
        ("DTSTART:20260701T0900\r\n 00Z\r\nRRULE:FREQ=DA\r\n YLI", "DA\r", "'DAYLI' is no FREQ"),
        (f"{BLOCK}20260702", "20260702", "needs a time of day, as in 20260702T090000"),
        ("FREQ=DAILY;COUNT=0", "COUNT", "its COUNT is 0"),
        ("FREQ=DAILY;UNTIL=20200101", "UNTIL", "its UNTIL is in the past"),
    ],
)
def test_what_is_wrong_in_a_block_is_pointed_at(text: str, at: str, reason: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        parse_schedule(text, now=NOW)
    assert reason in str(caught.value)
    assert caught.value.column == text.index(at)
