"""Whatever is typed or stored is read as a schedule or refused with a named error, at once.

Thousands of texts for people's way of writing and of definitions in JSON of every type of schedule,
and policies: valid ones, cut, spliced, repeated, with characters and numbers exchanged for nasty
ones. The bound on each is of processor time, and of a first time, with every cache empty; what
exceeds it is tried again before it counts:
only work that is really done counts, not what else the machine does.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from redbeat_core.entries.codec import DecodeError, decode_definition, encode_definition
from redbeat_core.entries.policy import PolicyError, decode_policy, encode_policy, members_of
from redbeat_core.entries.record import EntryRecord
from redbeat_core.entries.view import decode_record
from redbeat_core.schedules import (
    ScheduleError,
    describe,
    format_schedule,
    next_occurrence,
    parse_schedule,
)
from tests.support.effort import cases, random_numbers
from tests.unit.cold import first_time
from tests.unit.schedules.types.test_next_run import NOW

SHARDS, CASES = 10, cases(5000)
#: Entries take longer, and policies have less to get wrong.
FEWER = cases(1000)
#: Seconds of processor time for one case.
BOUND = 0.05

TEXTS = [
    "every 5m",
    "every 90 seconds",
    "every 1h30m relative",
    "every 0.25s",
    "*/5 9-17 * * mon-fri",
    "0 9 * * * Europe/Berlin",
    "@daily",
    "30 2 29 2 *",
    "0 0 1,15 jan-jun sun",
    "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9",
    "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO;WKST=SU",
    "FREQ=SECONDLY;INTERVAL=7;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=DAILY;BYEASTER=-2;COUNT=5",
    "FREQ=MINUTELY;BYSETPOS=-1;BYSECOND=1,2,3;UNTIL=20300101T000000Z",
    "DTSTART;TZID=Europe/Berlin:20260101T090000\nRRULE:FREQ=WEEKLY;BYDAY=MO,WE",
    (
        "DTSTART;TZID=America/New_York:20260101T090000\nRRULE:FREQ=DAILY\n"
        "EXDATE;TZID=America/New_York:20260704T090000\nRDATE:20260705T120000Z"
    ),
    "at 2030-12-24 18:00 Europe/Berlin",
    "sunrise 52.52 13.40",
]
NASTY = [
    *"\x00\x1b\n\t;,:=*/-+.@ 0123456789éß中\u202e\ud800",
    "9" * 25,
    "-1",
    "1e309",
    "NaN",
    "999999999",
    "0",
    "BYDAY=",
    "FREQ=SECONDLY;",
    "INTERVAL=999999999;",
    "COUNT=999999999;",
    "DTSTART:00010101T000000Z\n",
    "DTSTART:99991231T235959Z\n",
    "UNTIL=00010101;",
    "TZID=Europe/",
    "TZID=../../etc/passwd",
    "EXDATE:",
    "RDATE:",
    "RRULE:",
    "BYSETPOS=-366;",
    "BYMONTHDAY=30;BYMONTH=2;",
    "BYYEARDAY=366;",
    "1-59/2",
    "*/0",
    "*" * 50,
    "every ",
    "at ",
    " " * 15_000,
    "a" * 15_000,
    "7" * 15_000,
    " a" * 7_500,
]

MOMENT = {
    "__type__": "datetime",
    "year": 2030,
    "month": 12,
    "day": 24,
    "hour": 18,
    "minute": 0,
    "second": 0,
    "microsecond": 0,
    "timezone": "Europe/Berlin",
}
RULE = {
    "__type__": "rrule-tz",
    "freq": 3,
    "dtstart": "2026-01-05T09:00:00",
    "tz": "Europe/Berlin",
    "byhour": [9, 12],
}
DEFINITIONS: list[dict[str, Any]] = [
    {"__type__": "interval", "every": 5.5, "relative": False},
    {
        "__type__": "crontab",
        "minute": "*/5",
        "hour": "9-17",
        "day_of_week": "mon-fri",
        "day_of_month": "*",
        "month_of_year": [1, 2],
    },
    {
        "__type__": "rrule",
        "freq": 6,
        "dtstart": 1_600_000_000,
        "dtstart_tz": 60,
        "interval": 7,
        "wkst": 0,
        "count": 10,
        "until": None,
        "bysetpos": -1,
        "bymonth": [2],
        "bymonthday": 29,
        "byweekday": [{"__type__": "weekday", "wkday": 4, "n": -1}],
        "byhour": [0, 23],
        "byminute": None,
        "bysecond": 30,
    },
    {
        "__type__": "rrule-tz",
        "freq": 1,
        "dtstart": "2026-01-05T09:00:00",
        "tz": "Europe/Berlin",
        "bymonthday": [30, -1],
    },
    {
        "__type__": "crontab-tz",
        "minute": "*/15",
        "hour": [9, 17],
        "day_of_week": "mon-fri",
        "day_of_month": "1-7",
        "month_of_year": "*",
        "tz": "America/New_York",
    },
    {
        "__type__": "rrule-set",
        "rule": [RULE, RULE | {"freq": 2}],
        "rdate": [MOMENT],
        "exrule": [RULE | {"freq": 1, "bymonthday": [1, -1]}],
        "exdate": [MOMENT | {"day": 26}, MOMENT | {"timezone": 3600.0}],
    },
    {"__type__": "interval-from", "every": 300.0, "from": MOMENT},
    {"__type__": "once", "at": MOMENT | {"hour": 2, "minute": 30, "fold": 1}},
    {"__type__": "solar", "event": "sunrise", "lat": 52.52, "lon": 13.4},
]
POLICIES: list[dict[str, Any]] = [
    {"catchup": "all", "catchup_limit": 100, "grace": 3600.0},
    {"jitter": 30, "start": 1_700_000_000.0, "end": 1_800_000_000, "max_runs": 3},
    {"nonexistent": "skip", "ambiguous": "both", "keep_finished": None},
]
VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    2**63,
    -(10**30),
    0.1,
    1e308,
    1e-9,
    "",
    "*",
    "\ud800",
    "Europe/Berlin",
    "9999-12-31T23:59:59",
    "0001-01-01T00:00:00",
    "*/" + "9" * 500,
    [],
    [[]],
    [0] * 2000,
    {},
    {"__type__": "weekday"},
    {"__type__": "datetime", "year": 0},
    MOMENT,
    RULE,
    [MOMENT, RULE],
    [MOMENT] * 501,
    {"__type__": "once", "at": MOMENT},
    {"__type__": ["interval"]},
]


def mutated_text(dice: random.Random, corpus: list[str]) -> str:
    text = dice.choice(corpus)
    for _ in range(dice.randrange(5)):
        at = dice.randrange(len(text) + 1)
        to = min(len(text), at + dice.randrange(12))
        kind = dice.randrange(5)
        if kind == 0:
            text = text[:at] + dice.choice(NASTY) + text[at:]
        elif kind == 1:
            text = text[:at] + text[to:]
        elif kind == 2:
            text = text[:at] + dice.choice(NASTY) + text[to:]
        elif kind == 3:
            text = text[:at] + text[at:to] * dice.choice((2, 3, 200)) + text[to:]
        else:
            other = dice.choice(corpus)
            text = text[:at] + other[dice.randrange(len(other)) :]
    return text


def objects_in(value: object) -> list[dict[str, Any]]:
    """All the objects in *value*, at any depth."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [one for part in inside for one in objects_in(part)]
    return [value, *found] if isinstance(value, dict) else found


def mutated_object(dice: random.Random, value: dict[str, Any], times: int) -> None:
    """Change *value*, or what is in it, up to so many times."""
    for _ in range(dice.randrange(times)):
        target = dice.choice(objects_in(value))
        key = dice.choice([*target, "n", "name", "tz"])
        if dice.random() < 0.2:
            target.pop(key, None)
        elif dice.random() < 0.1:
            # A type with the members of another.
            target["__type__"] = dice.choice(DEFINITIONS)["__type__"]
        else:
            target[key] = json.loads(json.dumps(dice.choice(VALUES)))


def mutated_definition(dice: random.Random, schedules: list[dict[str, Any]]) -> str:
    definition: dict[str, Any] = {
        "name": "a",
        "task": "b",
        "args": [1],
        "kwargs": {},
        "options": {},
        "schedule": json.loads(json.dumps(dice.choice(schedules))),
        "enabled": True,
    }
    mutated_object(dice, definition["schedule"] if dice.random() < 0.8 else definition, 4)
    text = json.dumps(definition)
    if dice.random() < 0.3:
        text = mutated_text(dice, [text])
    return text


def mutated_policy(dice: random.Random) -> str:
    policy = dict(dice.choice(POLICIES))
    mutated_object(dice, policy, 4)
    text = json.dumps(policy)
    return mutated_text(dice, [text]) if dice.random() < 0.3 else text


def within_bounds(read: Callable[[str], None], text: str) -> None:
    took = first_time(lambda: read(text), BOUND, tries=3)
    assert took < BOUND, f"{took * 1000:.0f} ms: {text[:300]!r}"


def check_error(error: ValueError, length: int) -> None:
    assert str(error)
    assert 0 <= (getattr(error, "column", None) or 0) <= length


@pytest.mark.parametrize("run", [" ", "a", "7", " a", "1h ", ",", ";", "(", "\t\n"])
@pytest.mark.parametrize("end", ["x", "relative", "from", "a b", ""])
def test_a_long_run_of_one_character_is_read_at_once(run: str, end: str) -> None:
    def check(text: str) -> None:
        with suppress(ScheduleError):
            parse_schedule(text, "Europe/Berlin", now=NOW)

    for text in TEXTS:
        longest = 15_900 - len(text) - len(end)
        within_bounds(check, text + run * (longest // len(run)) + end)


@pytest.mark.thorough
@pytest.mark.parametrize("shard", range(SHARDS))
def test_whatever_is_typed_is_a_schedule_or_a_named_error(shard: int) -> None:
    dice = random_numbers(f"typed {shard}")
    read: list[str] = []

    def check(text: str) -> None:
        try:
            parse_schedule(text, "Europe/Berlin", now=NOW)
        except ScheduleError as exc:
            check_error(exc, len(text))
        else:
            read.append(text)

    for _ in range(CASES):
        within_bounds(check, mutated_text(dice, TEXTS))
    # Some of them are schedules still: these have a text and a next run.
    assert len(read) > CASES / 50
    for text in read[:200]:
        made = parse_schedule(text, "Europe/Berlin", now=NOW)
        assert parse_schedule(format_schedule(made), "Europe/Berlin", now=NOW) == made
        # An interval may be longer than what is left of the calendar.
        assert next_occurrence(made, NOW) is not None or "every" in text.lower()


@pytest.mark.thorough
@pytest.mark.parametrize("shard", range(SHARDS))
def test_whatever_is_stored_is_a_schedule_or_a_named_error(shard: int) -> None:
    dice = random_numbers(f"stored {shard}")
    read: list[str] = []

    def check(text: str) -> None:
        try:
            decode_definition(text)
        except DecodeError as exc:
            check_error(exc, 0)
        else:
            read.append(text)

    for _ in range(CASES):
        within_bounds(check, mutated_definition(dice, DEFINITIONS))
    assert len(read) > CASES / 50
    kinds = set()
    for text in read[:500]:
        made = decode_definition(text)
        assert decode_definition(encode_definition(made)) == made
        kinds.add(type(made["schedule"]))
    assert len(kinds) == len(DEFINITIONS) - 1, "rrule and rrule-tz are one type"


def check_that_it_goes_on(text: str) -> None:
    """What is read from Redis has a next run or none, words and a text."""
    record = EntryRecord("a", score=NOW.timestamp(), definition=text)
    view = decode_record(record, now=NOW)
    if view.error is not None or view.schedule is None:
        assert view.error
        return
    next_occurrence(view.schedule, NOW)
    assert describe(view.schedule)
    assert format_schedule(view.schedule)


@pytest.mark.thorough
@pytest.mark.parametrize("shard", range(SHARDS))
def test_an_entry_of_whatever_is_stored_is_shown_and_runs_or_says_why_not(shard: int) -> None:
    dice = random_numbers(f"entry {shard}")
    for _ in range(FEWER):
        within_bounds(check_that_it_goes_on, mutated_definition(dice, DEFINITIONS))


@pytest.mark.thorough
@pytest.mark.parametrize("shard", range(SHARDS))
def test_whatever_is_stored_as_a_policy_is_one_or_a_named_error(shard: int) -> None:
    dice = random_numbers(f"policy {shard}")
    read: list[str] = []

    def check(text: str) -> None:
        try:
            decode_policy(text)
        except PolicyError as exc:
            check_error(exc, 0)
        else:
            read.append(text)

    for _ in range(FEWER):
        within_bounds(check, mutated_policy(dice))
    assert len(read) > FEWER / 50
    for text in read:
        members = members_of(text)
        assert members_of(encode_policy(members)) == members
