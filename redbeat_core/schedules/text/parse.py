"""Parses the text of a schedule, as an operator types it, and formats a schedule as such a text.

The begin of the text decides its kind:

- an interval: ``every 30s``, ``every 5m``, ``every 1h30m``, ``every 90 seconds``, ``every day``;
  with ``relative`` at the end it is rounded to the clock, as Celery's ``relative=True`` does;
  with ``from 2026-01-01 00:00`` it is counted from there and not from the last run;
- a crontab line: ``*/5 9-17 * * mon-fri``, or ``@daily`` and the like, in the app's time zone,
  or in its own: ``0 9 * * * Europe/Berlin``;
- a rule of RFC 5545: ``FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9;BYMINUTE=0``, also after ``RRULE:``, and
  with a ``DTSTART;TZID=Europe/Berlin:20260101T090000`` before it; with several RRULE, RDATE,
  EXRULE or EXDATE it is a set;
- a single run: ``at 2026-12-24 18:00 Europe/Berlin``;
- the sun at a place: ``sunrise 52.52 13.40``, degrees north and east.
"""

from __future__ import annotations

import copy
import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

from celery.schedules import BaseSchedule, crontab, schedule, solar

from redbeat_core.schedules.recurrence.zones import UnknownZoneError, find_zone
from redbeat_core.schedules.types.next_run import next_occurrence
from redbeat_core.schedules.types.once import anchored_interval, once
from redbeat_core.schedules.types.rrule import adopted, rrule
from redbeat_core.schedules.types.rrule_set import GivenUp, rrule_set

from .crontab import (
    NEVER_OCCURS,
    format_crontab,
    has_zone_before,
    looks_like_crontab,
    parse_crontab,
)
from .datetimes import EXAMPLE as MOMENT_EXAMPLE
from .datetimes import format_moment, parse_moment
from .rrule import format_rule, format_set, looks_like_rule, parse_rule
from .solar import format_solar, looks_like_solar, parse_solar
from .suggest import suggest_schedule
from .tokens import ScheduleError, Word, did_you_mean, quoted, words

__all__ = ["ScheduleError", "format_schedule", "parse_schedule"]

EXAMPLES = "'every 30s', '*/5 * * * *', 'FREQ=DAILY;BYHOUR=9' or 'at 2026-12-24 18:00'"
#: The longest text, in characters: a rule that lists every day of a year fits, and so does a set of
#: a few hundred dates.
MAX_LENGTH = 16_000

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
    """Parse *text* as a schedule.

    :param tz: the zone of times without one; None: UTC. Crontabs run in the app's zone.
    :param now: the start of a rule without a DTSTART (see :func:`.rfc5545.parse_rule`);
        None: the current time.
    :raises ScheduleError: *text* is no valid schedule, or the schedule never runs. The error has
        the column of the wrong part, and its message a correct form.
    """
    if now is None:
        now = datetime.now(UTC)
    if not isinstance(text, str) or not text.strip():
        raise ScheduleError(f"the schedule is empty: try {EXAMPLES}", 0)
    if len(text) > MAX_LENGTH:
        raise ScheduleError(
            f"the schedule has {len(text)} characters: at most {MAX_LENGTH} are read", MAX_LENGTH
        )
    lead = len(text) - len(text.lstrip())
    try:
        parsed = _parse(text.strip(), _zone(tz), now)
    except ScheduleError as exc:
        column = None if exc.column is None else exc.column + lead
        raise ScheduleError(_with_suggestion(str(exc), text, tz, now), column) from None
    except OverflowError:
        raise ScheduleError("the schedule goes past the year 9999") from None
    _check_that_it_runs(parsed, now, text)
    return parsed


def _with_suggestion(error: str, text: str, tz: tzinfo | str | None, now: datetime) -> str:
    """Return *error* with the suggestion for *text* in place of the general advice."""
    suggestion = suggest_schedule(text)
    try:
        if not suggestion or not _parse(suggestion, _zone(tz), now):
            return error
    except ScheduleError:
        # The suggestion is invalid, too.
        return error
    reason = error.split(": try ")[0].split(": write a crontab")[0]
    return f"{reason}; did you mean {suggestion!r}?"


def _zone(tz: tzinfo | str | None) -> tzinfo:
    if not isinstance(tz, str):
        return tz or UTC
    try:
        return find_zone(tz)
    except UnknownZoneError as exc:
        raise ScheduleError(str(exc)) from None


def _parse(text: str, zone: tzinfo, now: datetime) -> BaseSchedule:
    if re.match(r"every\b|every(?=[0-9])", text, re.IGNORECASE):
        return _parse_interval(text, zone)
    if re.match(r"(?:once\s+)?at\b", text, re.IGNORECASE):
        return _parse_once(text, zone)
    if has_zone_before(text):
        return parse_crontab(text)
    if looks_like_rule(text):
        return parse_rule(text, zone, now)
    first = Word(text.split(maxsplit=1)[0], 0)
    if looks_like_solar(first.text):
        return parse_solar(text)
    if first.text.lower() == "once":
        raise first.error(f"a single run is written as in 'at {MOMENT_EXAMPLE}'")
    if re.fullmatch(r"[0-9]+(?:[:.][0-9]+)?", text):
        raise first.error(f"{quoted(text)} is not a schedule: try {EXAMPLES}")
    if re.fullmatch(r"(?:[0-9.]+\s*[a-z]+\s*)+", text, re.IGNORECASE):
        raise ScheduleError(f"an interval begins with 'every': try 'every {text[:40]}'", 0)
    if looks_like_crontab(text):
        return parse_crontab(text)
    raise first.error(f"{quoted(first.text)} is not a schedule: try {EXAMPLES}")


def _part(text: str, name: str) -> int | None:
    """Return the column of the rule part *name*; None if *text* does not have it."""
    column = text.upper().find(f"{name}=")
    return None if column < 0 else column


def _check_that_it_runs(candidate: BaseSchedule, now: datetime, text: str) -> None:
    """Raise an error if *candidate* has no run after *now*."""
    if isinstance(candidate, rrule):
        if next_occurrence(candidate, now) is not None:
            return
        until = candidate.recurrence.until
        start = candidate.recurrence.dtstart.astimezone(UTC)
        if candidate.count == 0:
            raise ScheduleError("the rule has no run at all: its COUNT is 0", _part(text, "COUNT"))
        if until is not None and until <= now:
            raise ScheduleError(
                "the rule has no run to come: its UNTIL is in the past", _part(text, "UNTIL")
            )
        if next_occurrence(candidate, start - timedelta(seconds=1)) is not None:
            why = "all of its COUNT are in the past"
            if candidate.count is None:
                why = "its next run is past the year 9999"
            raise ScheduleError(f"the rule has no run to come: {why}", _part(text, "COUNT"))
        raise ScheduleError("the rule never runs: no date in the calendar matches all its parts")
    if isinstance(candidate, rrule_set):
        _check_set(candidate, now)
    elif isinstance(candidate, once):
        if candidate.earliest <= now:
            raise ScheduleError(
                f"{format_moment(candidate.at)} is in the past: write a time in the future",
                len("at "),
            )
    elif isinstance(candidate, solar):
        if next_occurrence(candidate, now) is None:
            raise ScheduleError(f"{candidate.event} never occurs at this place")
    # A copy, because a crontab caches its zone at the first use, and it has no app yet.
    elif isinstance(candidate, crontab) and next_occurrence(copy.copy(candidate), now) is None:
        raise ScheduleError(NEVER_OCCURS)


def _check_set(rules: rrule_set, now: datetime) -> None:
    run = next(rules.search(now), None)
    if isinstance(run, GivenUp):
        raise ScheduleError(
            f"EXDATE and EXRULE exclude the next {run.times} times of the rules, up to "
            f"{run.at:%Y-%m-%d %H:%M:%S} UTC: name the times that are left instead"
        )
    if run is None:
        raise ScheduleError(
            "the rules and dates have no run to come: all are in the past, excluded, or on no "
            "date of the calendar"
        )


def _parse_once(text: str, zone: tzinfo) -> once:
    match = re.match(r"(?:once\s+)?at\b\s*", text, re.IGNORECASE)
    position = match.end() if match else 0
    if not text[position:]:
        raise ScheduleError(f"at what time? Write it as in 'at {MOMENT_EXAMPLE}'", len(text))
    word = Word(text[position:], position)
    at = parse_moment(word, zone)
    try:
        return once(at)
    except ValueError as exc:
        raise word.error(str(exc)) from None


def _parse_interval(text: str, zone: tzinfo) -> schedule:
    rest = text.lower()
    position = len("every")
    if both := re.search(r"\srelative\s+(?:starting\s+)?from\b", rest):
        raise ScheduleError("an interval is either relative or from a time", both.start() + 1)
    relative = re.search(r"(?<!\s)\s+relative$", rest)
    start = re.search(r"(?<!\s)\s+(?:starting\s+)?from\b\s*", rest)
    end = relative.start() if relative else start.start() if start else len(rest)
    total = Decimal(0)
    terms = 0
    while (position := _skip(rest, position)) < end:
        match = _TERM.match(rest, position, end)
        if match is None:
            raise _no_duration(words(text[position:end], position)[0])
        number, name = match.groups()
        unit = _UNITS.get(name)
        if unit is None:
            raise _no_unit(words(text[match.start(2) :], match.start(2))[0], name)
        if number is None and terms:
            word = words(text[position:end], position)[0]
            raise word.error(f"{quoted(name)} needs a number before it, as in 30s")
        total += Decimal(number or 1) * _MICROSECONDS[unit]
        terms += 1
        position = match.end()
    if not terms:
        raise ScheduleError("how often? Write it as in 'every 30s', 'every 1h30m'", len(text))
    every = _timedelta(total)
    if start is None:
        return schedule(run_every=every, relative=relative is not None)
    if relative is not None:
        raise ScheduleError("an interval is either relative or from a time", relative.start() + 1)
    if start.end() == len(text):
        raise ScheduleError(f"from when? Write it as in 'from {MOMENT_EXAMPLE}'", len(text))
    word = Word(text[start.end() :], start.end())
    anchor = parse_moment(word, zone)
    try:
        return anchored_interval(every, anchor)
    except ValueError as exc:
        raise word.error(str(exc)) from None


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


def _no_unit(word: Word, name: str) -> ScheduleError:
    if name.startswith(("month", "year")):
        cron, freq = ("0 0 1 1 *", "YEARLY") if name[0] == "y" else ("0 0 1 * *", "MONTHLY")
        return word.error(
            f"a {name.rstrip('s')} has no fixed length: try '{cron}' or 'FREQ={freq}'"
        )
    if "/" in word.text:
        return word.error(f"an interval has no time zone: leave {quoted(word.text)} out")
    if name in ("at", "on") or re.match(_WEEKDAY, name):
        return word.error(
            "an interval has no days and no times of day: write a crontab, as in '0 9 * * mon-fri'"
        )
    hint = did_you_mean(name, [unit.upper() for unit in _UNITS]).lower()
    return word.error(f"{quoted(name)} is no unit of time: s, m, h, d or w{hint}")


_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun|week)(?:day|end)"


def format_schedule(schedule: BaseSchedule) -> str:
    """Return the text of *schedule*; :func:`parse_schedule` returns an equal schedule for it.

    For a type without a text form, return the name of its class, which does not parse.
    """
    if isinstance(schedule, crontab):
        return format_crontab(schedule)
    if isinstance(schedule, anchored_interval):
        return f"every {_duration(schedule.run_every)} from {format_moment(schedule.anchor)}"
    if isinstance(schedule, _INTERVAL):
        suffix = " relative" if schedule.relative else ""
        return f"every {_duration(schedule.run_every)}{suffix}"
    if isinstance(schedule, once):
        return f"at {format_moment(schedule.at)}"
    if isinstance(schedule, rrule_set):
        return format_set(schedule)
    if isinstance(schedule, solar):
        return format_solar(schedule)
    rule = adopted(schedule)
    return type(schedule).__name__ if rule is None else format_rule(rule)


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
