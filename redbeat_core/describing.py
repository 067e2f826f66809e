"""Schedules in plain English, short enough for a column of a table.

Pure, and never raises: what cannot be put into words is shown as its text. Half a millisecond
for a crontab, so callers keep what they got.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import product

from celery.schedules import BaseSchedule, crontab, schedule
from cron_descriptor import ExpressionDescriptor, Options

from .crontab_text import format_crontab
from .rfc5545_times import offset_name
from .rrule_times import HOURLY, MONTHLY, WEEKLY, YEARLY, Parts
from .rules import adopted, rrule
from .zones import iana_name

_PERIODS = ("year", "month", "week", "day", "hour", "minute", "second")
_ADVERBS = ("yearly", "monthly", "weekly", "daily", "every hour", "every minute", "every second")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LONG_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: The end of the calendar, in every zone.
_END = datetime(9999, 12, 30, tzinfo=UTC)
#: So many times of day are listed; more are given as hours and minutes.
_MAX_TIMES = 4


def describe(schedule: BaseSchedule) -> str:
    """What *schedule* says, as in "every 5 minutes" or "weekly on Mon, Wed at 09:00 UTC"."""
    try:
        return _describe(schedule)
    except Exception:  # a schedule of the user's own may fail in any way
        return type(schedule).__name__


def _describe(candidate: BaseSchedule) -> str:
    rule = adopted(candidate)
    if rule is not None:
        return _rule(rule)
    if isinstance(candidate, crontab):
        return _crontab(candidate)
    if isinstance(candidate, schedule):
        rounded = ", on the clock" if candidate.relative else ""
        return f"every {_duration(candidate.run_every)}{rounded}"
    return re.sub(r"[<>]|\bat 0x[0-9a-f]+", "", repr(candidate)).strip()


def _duration(every: timedelta) -> str:
    left = abs(every) // timedelta(microseconds=1)
    terms = []
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        number, left = divmod(left, size * 1_000_000)
        if number:
            terms.append(_count(str(number), unit))
    if left or not terms:
        terms.append(_count(f"{left / 1_000_000:.6f}".rstrip("0").rstrip("."), "second"))
    if len(terms) == 1:
        return terms[0].removeprefix("1 ")
    return " ".join(terms)


def _count(number: str, unit: str) -> str:
    return f"{number} {unit}" if number == "1" else f"{number} {unit}s"


def _crontab(candidate: crontab) -> str:
    line = format_crontab(candidate)
    minute, hour, day, month, weekday = re.sub(r"([a-zA-Z]{3})[a-zA-Z]*", r"\1", line).split()
    every_day = len(candidate.day_of_month) == 31 and len(candidate.month_of_year) == 12
    only = ""
    if len(candidate.day_of_month) < 31 and len(candidate.day_of_week) < 7:
        # cron takes either; Celery wants both, which the package does not know.
        names = [_LONG_DAYS[n - 1] for n in sorted(candidate.day_of_week, key=lambda n: n or 7)]
        only, weekday = f", if it is a {_join(names, 'or')}", "*"
    try:
        options = Options()
        options.use_24hour_time_format = True
        text = str(
            ExpressionDescriptor(
                f"{minute} {hour} {day} {month} {weekday}", options
            ).get_description()
        )
    except Exception:  # the package knows less than Celery takes
        return line
    text = text[:1].lower() + text[1:] + only
    plain = every_day and len(candidate.day_of_week) == 7 and re.match(r"at \d\d:\d\d", text)
    return f"daily {text}" if plain else text


def _rule(rule: rrule) -> str:
    parts = rule.recurrence.parts
    start = rule.recurrence.dtstart
    terms = [_days(rule, parts)]
    if parts.freq < HOURLY:
        hours = parts.byhour or (start.hour,)
        minutes = parts.byminute or (start.minute,)
        seconds = parts.bysecond or (start.second,)
        terms.append(f"at {_times(hours, minutes, seconds)}")
    else:
        for name, numbers in (
            ("hour", parts.byhour),
            ("minute", parts.byminute),
            ("second", parts.bysecond),
        ):
            if numbers:
                terms.append(f"at {name}{'s' * (len(numbers) > 1)} {_ranges(numbers)}")
    if parts.freq < HOURLY or parts != Parts(parts.freq, parts.interval, parts.wkst):
        terms.append(_zone(rule))
    if rule.recurrence.until is not None:
        until = min(rule.recurrence.until, _END).astimezone(start.tzinfo)
        terms.append(f"until {until:%Y-%m-%d %H:%M}")
    if rule.count is not None:
        terms.append("once" if rule.count == 1 else f"{rule.count} times")
    return " ".join(terms)


def _zone(rule: rrule) -> str:
    start = rule.recurrence.dtstart
    name = iana_name(start.tzinfo)
    offset = start.utcoffset()
    return name or (offset_name(offset) if offset else "UTC")


def _days(rule: rrule, parts: Parts) -> str:
    """The frequency and the days: "weekly on Mon, Wed", "last Friday of each month"."""
    start = rule.recurrence.dtstart
    period = _PERIODS[parts.freq]
    often = _ADVERBS[parts.freq] if parts.interval == 1 else f"every {parts.interval} {period}s"
    if parts.byweekday and parts.freq <= MONTHLY and not parts.bymonthday:
        found = _nth(parts)
        if found is not None:
            each = f"each {period}" if parts.interval == 1 else often
            if not parts.bymonth:
                return f"{found} of {each}"
            every = "" if parts.interval == 1 else f", {often}"
            return f"{found} of {_named(parts.bymonth, _MONTHS, 1)}{every}"
    terms = [often]
    days = parts.byweekday
    if parts.freq == WEEKLY and not _names_days(parts):
        days = ((start.weekday(), 0),)
    monthdays: Sequence[int] = parts.bymonthday
    months: Sequence[int] = parts.bymonth
    if parts.freq <= MONTHLY and not _names_days(parts):
        monthdays = (start.day,)
        if parts.freq == YEARLY and not months:
            months = (start.month,)
    if parts.freq == YEARLY and len(monthdays) == len(months) == 1 and monthdays[0] > 0:
        terms.append(f"on {monthdays[0]} {_MONTHS[months[0] - 1]}")
        monthdays = months = ()
    if days:
        terms.append(f"on {', '.join(_weekday(day, n) for day, n in days)}")
    if monthdays:
        terms.append(_monthdays(monthdays))
    if months:
        terms.append(f"in {_named(months, _MONTHS, 1)}")
    if parts.byyearday:
        terms.append(f"on day {_ranges(parts.byyearday)} of the year")
    if parts.byweekno:
        terms.append(f"in week {_ranges(parts.byweekno)}")
    if parts.byeaster:
        terms.append(f"{_ranges(parts.byeaster)} days after Easter")
    if parts.bysetpos:
        terms.append(f"(only the {_join([_ordinal(n) for n in parts.bysetpos], 'and')})")
    return " ".join(terms)


def _names_days(parts: Parts) -> bool:
    return bool(
        parts.byweekday or parts.bymonthday or parts.byyearday or parts.byweekno or parts.byeaster
    )


def _nth(parts: Parts) -> str | None:
    """As in "last Friday" or "last weekday"; None when it is nothing so simple."""
    if parts.byyearday or parts.byweekno or parts.byeaster:
        return None
    if len(parts.byweekday) == 1 and parts.byweekday[0][1] and not parts.bysetpos:
        day, n = parts.byweekday[0]
        return f"{_ordinal(n)} {_LONG_DAYS[day]}"
    plain = all(n == 0 for _, n in parts.byweekday)
    if len(parts.bysetpos) != 1 or not plain or len(parts.byhour) > 1 or len(parts.byminute) > 1:
        return None
    days = [day for day, _ in parts.byweekday]
    kinds = {(0, 1, 2, 3, 4): "weekday", (5, 6): "weekend day", tuple(range(7)): "day"}
    kind = _LONG_DAYS[days[0]] if len(days) == 1 else kinds.get(tuple(days))
    return kind and f"{_ordinal(parts.bysetpos[0])} {kind}"


def _weekday(day: int, n: int) -> str:
    return f"{_ordinal(n)} {_DAYS[day]}" if n else _DAYS[day]


def _ordinal(n: int) -> str:
    if n == -1:
        return "last"
    number = abs(n)
    suffix = (
        "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    )
    words = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}
    return words.get(n, f"{number}{suffix}") if n > 0 else f"{number}{suffix} last"


def _monthdays(days: Sequence[int]) -> str:
    if tuple(days) == (-1,):
        return "on the last day"
    late = [f"{_ordinal(day)} day" for day in days if day < 0]
    early = [day for day in days if day > 0]
    shown = ([f"day {_ranges(early)}"] if early else []) + [f"the {day}" for day in late]
    return f"on {_join(shown, 'and')}"


def _times(hours: Sequence[int], minutes: Sequence[int], seconds: Sequence[int]) -> str:
    if len(hours) * len(minutes) * len(seconds) <= _MAX_TIMES:
        with_seconds = tuple(seconds) != (0,)
        return ", ".join(
            f"{h:02}:{m:02}" + (f":{s:02}" if with_seconds else "")
            for h, m, s in product(hours, minutes, seconds)
        )
    text = f"hours {_ranges(hours)}, minute{'s' * (len(minutes) > 1)} {_ranges(minutes)}"
    if tuple(seconds) != (0,):
        text += f", second{'s' * (len(seconds) > 1)} {_ranges(seconds)}"
    return text


def _named(numbers: Sequence[int], names: Sequence[str], first: int) -> str:
    return ", ".join(names[number - first] for number in numbers)


def _ranges(numbers: Sequence[int]) -> str:
    """``1-5, 8`` for 1, 2, 3, 4, 5, 8."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(
        f"{low}-{high}" if high > low + 1 else ", ".join(map(str, sorted({low, high})))
        for low, high in runs
    )


def _join(terms: Sequence[str], word: str) -> str:
    return terms[0] if len(terms) == 1 else f"{', '.join(terms[:-1])} {word} {terms[-1]}"
