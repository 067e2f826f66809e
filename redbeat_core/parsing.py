"""Schedules as text, as an operator types them, both ways.

Three forms, told apart by how they begin:

- an interval: ``every 30s``, ``every 5m``, ``every 1h30m``, ``every 90 seconds``, ``every day``;
  with ``relative`` at the end it is rounded to the clock, as Celery's ``relative=True`` does;
- a crontab line: ``*/5 9-17 * * mon-fri``, or ``@daily`` and the like, in the app's time zone;
- a rule of RFC 5545: ``FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9;BYMINUTE=0``, also after ``RRULE:``, and
  with a ``DTSTART;TZID=Europe/Berlin:20260101T090000`` before it.
"""

from __future__ import annotations

import copy
import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

from celery.schedules import BaseSchedule, crontab, schedule

from .crontab_text import NEVER, format_crontab, looks_like_crontab, parse_crontab
from .recurrence import next_occurrence
from .rfc5545 import format_rule, looks_like_rule, parse_rule
from .rules import adopted, rrule
from .scanning import ScheduleError, Word, did_you_mean, quoted, words
from .zones import UnknownZoneError, find_zone

__all__ = ["ScheduleError", "format_schedule", "parse_schedule"]

EXAMPLES = "'every 30s', '*/5 * * * *' or 'FREQ=DAILY;BYHOUR=9'"
#: A rule that names every day of a year fits.
MAX_LENGTH = 8000

_MICROSECONDS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
_UNITS = {
    **{name: name for name in _MICROSECONDS},
    **dict.fromkeys(("microsecond", "microseconds"), "us"),
    **dict.fromkeys(("millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("day", "days"), "d"),
    **dict.fromkeys(("week", "weeks"), "w"),
}
_TERM = re.compile(r"([0-9]{1,20}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})?\s*([a-z]+)")
_BETWEEN = re.compile(r"[\s,]*(?:and\s+)?")


def parse_schedule(
    text: str, tz: tzinfo | str | None = None, *, now: datetime | None = None
) -> BaseSchedule:
    """The schedule that *text* says.

    :param tz: the zone of a rule without a TZID; None: UTC. Crontabs run in the app's zone.
    :param now: where a rule without a DTSTART starts (see :func:`.rfc5545.parse_rule`);
        None: the time it is.
    :raises ScheduleError: it says none, or one that never runs; with the column of what is
        wrong, and in words what would be right.
    """
    moment = datetime.now(UTC) if now is None else now
    if not isinstance(text, str) or not text.strip():
        raise ScheduleError(f"the schedule is empty: try {EXAMPLES}", 0)
    if len(text) > MAX_LENGTH:
        raise ScheduleError(
            f"the schedule has {len(text)} characters: at most {MAX_LENGTH} are read", MAX_LENGTH
        )
    lead = len(text) - len(text.lstrip())
    try:
        found = _parse(text.strip(), _zone(tz), moment)
    except ScheduleError as exc:
        column = None if exc.column is None else exc.column + lead
        raise ScheduleError(str(exc), column) from None
    except OverflowError:
        raise ScheduleError("the schedule goes past the year 9999") from None
    _check_that_it_runs(found, moment)
    return found


def _zone(tz: tzinfo | str | None) -> tzinfo:
    if not isinstance(tz, str):
        return tz or UTC
    try:
        return find_zone(tz)
    except UnknownZoneError as exc:
        raise ScheduleError(str(exc)) from None


def _parse(text: str, zone: tzinfo, now: datetime) -> BaseSchedule:
    if re.match(r"every\b|every(?=[0-9])", text, re.IGNORECASE):
        return _parse_interval(text)
    if looks_like_rule(text):
        return parse_rule(text, zone, now)
    first = words(text)[0]
    if re.fullmatch(r"(?:[0-9.]+\s*[a-z]+\s*)+", text, re.IGNORECASE):
        raise ScheduleError(f"an interval begins with 'every': try 'every {text[:40]}'", 0)
    if looks_like_crontab(text):
        return parse_crontab(text)
    raise first.error(f"{quoted(first.text)} is not a schedule: try {EXAMPLES}")


def _check_that_it_runs(found: BaseSchedule, now: datetime) -> None:
    # A copy, since asking a crontab for its zone would fix it before it gets its app.
    if isinstance(found, rrule):
        if next_occurrence(found, now) is not None:
            return
        until, start = found.recurrence.until, found.recurrence.dtstart.astimezone(UTC)
        if until is not None and until <= now:
            raise ScheduleError("the rule has no run to come: its UNTIL is in the past")
        if next_occurrence(found, start - timedelta(seconds=1)) is not None:
            raise ScheduleError("the rule has no run to come: all of its COUNT are in the past")
        raise ScheduleError("the rule never runs: no date in the calendar matches all its parts")
    if isinstance(found, crontab) and next_occurrence(copy.copy(found), now) is None:
        raise ScheduleError(NEVER)


def _parse_interval(text: str) -> schedule:
    rest = text.lower()
    position = len("every")
    relative = re.search(r"\s+relative$", rest)
    end = relative.start() if relative else len(rest)
    total = Decimal(0)
    terms = 0
    while (position := _skip(rest, position)) < end:
        match = _TERM.match(rest, position, end)
        word = words(text[position:end], position)[0]
        if match is None:
            raise _no_duration(word)
        number, name = match.groups()
        unit = _UNITS.get(name)
        if unit is None:
            raise _no_unit(Word(name, match.start(2)))
        if number is None and terms:
            raise word.error(f"{quoted(name)} needs a number before it, as in 30s")
        total += Decimal(number or 1) * _MICROSECONDS[unit]
        terms += 1
        position = match.end()
    if not terms:
        raise ScheduleError("how often? Write it as in 'every 30s', 'every 1h30m'", len(text))
    return schedule(run_every=_timedelta(total), relative=relative is not None)


def _skip(text: str, position: int) -> int:
    match = _BETWEEN.match(text, position)
    return match.end() if match else position


def _timedelta(microseconds: Decimal) -> timedelta:
    if microseconds <= 0:
        raise ScheduleError("the interval must be more than 0", len("every "))
    if microseconds != int(microseconds):
        raise ScheduleError("the interval is finer than a microsecond", len("every "))
    try:
        return timedelta(microseconds=int(microseconds))
    except OverflowError:
        raise ScheduleError("the interval is longer than the calendar", len("every ")) from None


def _no_duration(word: Word) -> ScheduleError:
    if word.text.startswith("-"):
        return word.error("the interval must be more than 0")
    if re.fullmatch(r"[0-9.]+", word.text):
        return word.error(f"{quoted(word.text)} needs a unit: s, m, h, d or w, as in 30s")
    return word.error(f"{quoted(word.text)} is no duration: try 'every 30s' or 'every 1h30m'")


def _no_unit(word: Word) -> ScheduleError:
    if word.text.startswith(("month", "year")):
        return word.error(
            f"a {word.text.rstrip('s')} has no fixed length: try '0 0 1 * *' or 'FREQ=MONTHLY'"
        )
    hint = did_you_mean(word.text, [name.upper() for name in _UNITS]).lower()
    return word.error(f"{quoted(word.text)} is no unit of time: s, m, h, d or w{hint}")


def format_schedule(schedule: BaseSchedule) -> str:
    """The text of *schedule*; :func:`parse_schedule` makes an equal schedule of it.

    A type that has no text form gives its name, which does not parse.
    """
    rule = adopted(schedule)
    if rule is not None:
        return format_rule(rule)
    if isinstance(schedule, crontab):
        return format_crontab(schedule)
    if isinstance(schedule, _INTERVAL):
        suffix = " relative" if schedule.relative else ""
        return f"every {_duration(schedule.run_every)}{suffix}"
    return type(schedule).__name__


_INTERVAL = schedule


def _duration(every: timedelta) -> str:
    left = every // timedelta(microseconds=1)
    out = ""
    for unit in ("d", "h", "m"):
        number, left = divmod(left, _MICROSECONDS[unit])
        out += f"{number}{unit}" if number else ""
    if left or not out:
        seconds, fraction = divmod(left, 1_000_000)
        out += f"{seconds}.{fraction:06}".rstrip("0").rstrip(".") + "s"
    return out
