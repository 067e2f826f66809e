"""Describes schedules in plain English, short enough for a column of a table.

Pure, and never raises: a schedule of an unknown type is described by its repr or its class name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

from celery.schedules import BaseSchedule, crontab, schedule, solar

from redbeat_core.schedules.recurrence.rule_parts import (
    DAILY,
    HOURLY,
    MINUTELY,
    MONTHLY,
    SECONDLY,
    WEEKLY,
    YEARLY,
    Parts,
)
from redbeat_core.schedules.recurrence.zones import TICK, iana_name
from redbeat_core.schedules.types.once import anchored_interval, once
from redbeat_core.schedules.types.rrule import adopted, rrule
from redbeat_core.schedules.types.rrule_set import rrule_set
from redbeat_core.schedules.types.zoned_crontab import zoned_crontab

from .describe_crontab import describe_crontab, weekday_names
from .english import (
    DAYS,
    LONG_DAYS,
    MAX_TIMES,
    MONTHS,
    duration,
    join,
    moment,
    named_ranges,
    ranges,
)
from .rrule_times import offset_name

_PERIODS = ("year", "month", "week", "day", "hour", "minute", "second")
_ADVERBS = ("yearly", "monthly", "weekly", "daily", "every hour", "every minute", "every second")
#: The end of the calendar, in every zone.
_END = datetime(9999, 12, 30, tzinfo=UTC)


def describe(schedule: BaseSchedule) -> str:
    """Describe *schedule*, as in "every 5 minutes" or "weekly on Mon, Wed at 09:00 UTC"."""
    try:
        return _describe(schedule)
    except Exception:  # a user-defined schedule may raise any error
        return type(schedule).__name__


def _describe(candidate: BaseSchedule) -> str:
    if isinstance(candidate, crontab):
        text = describe_crontab(candidate)
        return f"{text} {candidate.zone}" if isinstance(candidate, zoned_crontab) else text
    if isinstance(candidate, anchored_interval):
        start = f"{moment(candidate.anchor)} {_zone(candidate.anchor)}"
        return f"every {duration(candidate.run_every)} from {start}"
    if isinstance(candidate, schedule):
        return _interval(candidate)
    if isinstance(candidate, once):
        return f"once, on {moment(candidate.at)} {_zone(candidate.at)}"
    if isinstance(candidate, rrule_set):
        return _set(candidate)
    if isinstance(candidate, solar):
        return f"{_event(candidate.event)} at {_place(candidate.lat, candidate.lon)}"
    rule = adopted(candidate)
    if rule is not None:
        return _rule(rule)
    return re.sub(r"[<>]|\bat 0x[0-9a-f]+", "", repr(candidate)).strip()


def _interval(interval: schedule) -> str:
    every = interval.run_every
    if not interval.relative:
        return f"every {duration(every)}"
    # Celery rounds the end of each interval down to the greatest unit of the interval.
    units = (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1))
    unit = next((unit for unit in units if every >= unit), None)
    rounded = every if unit is None else every // unit * unit
    original = "" if rounded == every else f" ({duration(every)} rounded down)"
    return f"every {duration(rounded)}, on the clock{original}"


def _event(name: str) -> str:
    first, _, second = name.partition("_")
    return f"{second} {first}" if first in ("dawn", "dusk") else name.replace("_", " ")


def _place(lat: float, lon: float) -> str:
    return f"{_degrees(lat, 'N', 'S')} {_degrees(lon, 'E', 'W')}"


def _degrees(value: float, positive: str, negative: str) -> str:
    size = abs(value)
    digits = 2 if abs(round(size, 2) - size) < 1e-9 else 4
    return f"{size:.{digits}f} {negative if value < 0 else positive}"


def _set(rules: rrule_set) -> str:
    terms = [_rule(rule) for rule in rules.rules]
    if rules.rdates:
        terms.append(_dates(rules.rdates))
    text = "; and ".join(terms)
    never = [_rule(rule) for rule in rules.exrules]
    if rules.exdates:
        never.append(_dates(rules.exdates))
    return f"{text}; but not {', nor '.join(never)}" if never else text


def _dates(dates: Sequence[datetime]) -> str:
    if len(dates) > 2:
        return f"on {len(dates)} dates"
    return f"on {join([f'{moment(date)} {_zone(date)}' for date in dates], 'and')}"


def _rule(rule: rrule) -> str:
    parts = rule.recurrence.parts
    start = rule.recurrence.dtstart
    if rule.count == 0:
        return "never: a rule that makes 0 runs"
    if rule.count == 1:
        first = next(rule.runs_after(rule.earliest - TICK), None)
        if first is None:
            return "never"
        return f"once, on {moment(first.astimezone(start.tzinfo))} {_zone(start)}"
    terms = [_days(rule, parts)]
    if parts.freq < HOURLY:
        hours = parts.byhour or (start.hour,)
        minutes = parts.byminute or (start.minute,)
        seconds = parts.bysecond or (start.second,)
        terms.append(_times(hours, minutes, seconds))
    else:
        if parts.byhour:
            terms.append(f"in {_plural('hour', parts.byhour)} {ranges(parts.byhour, '02')}")
        if parts.byminute:
            terms.append(_past(parts.byminute))
        if parts.bysecond:
            terms.append(f"at {_plural('second', parts.bysecond)} {ranges(parts.bysecond)}")
    if parts.freq < HOURLY or parts != Parts(parts.freq, parts.interval, parts.wkst):
        terms.append(_zone(start))
    text = " ".join(terms)
    if parts.bysetpos and (parts.freq > MONTHLY or _nth(parts) is None):
        counted = sorted(parts.bysetpos, key=lambda n: (n < 0, n))
        positions = join([_ordinal(n) for n in counted], "and")
        text += f", only the {positions} of each {_PERIODS[parts.freq]}"
    if rule.recurrence.until is not None:
        until = min(rule.recurrence.until, _END).astimezone(start.tzinfo)
        text += f", until {until:%Y-%m-%d %H:%M}"
    return text if rule.count is None else f"{text}, {rule.count} times"


def _zone(start: datetime) -> str:
    name = iana_name(start.tzinfo)
    offset = start.utcoffset()
    return name or (offset_name(offset) if offset else "UTC")


def _days(rule: rrule, parts: Parts) -> str:
    """Return the frequency and the days: "weekly on Mon, Wed", "last Friday of each month"."""
    start = rule.recurrence.dtstart
    period = _PERIODS[parts.freq]
    often = _often(parts)
    nth_day = _nth(parts)
    if nth_day is not None:
        each = f"each {period}" if parts.interval == 1 else often
        if not parts.bymonth:
            return f"{nth_day} of {each}"
        every = "" if parts.interval == 1 else f", {often}"
        return f"{nth_day} of {_months(parts.bymonth)}{every}"
    if not _names_days(parts) and parts.freq <= WEEKLY:
        if parts.freq == WEEKLY:
            parts = replace(parts, byweekday=((start.weekday(), 0),))
        else:
            months = (start.month,) if parts.freq == YEARLY else ()
            parts = replace(parts, bymonthday=(start.day,), bymonth=parts.bymonth or months)
    frequency_fits = _frequency_fits(parts)
    limits = _limits(parts, after_frequency=frequency_fits)
    if parts.freq >= HOURLY or not limits:
        return " ".join([often, *limits])
    if parts.freq == DAILY and parts.interval > 1:
        return f"{often}, only {' '.join(limits)}"
    if frequency_fits:
        return " ".join([often, *limits])
    text = " ".join(limits)
    return text if parts.interval == 1 else f"in every {_ordinal(parts.interval)} {period}, {text}"


def _often(parts: Parts) -> str:
    if parts.interval > 1:
        return f"every {parts.interval} {_PERIODS[parts.freq]}s"
    freq = parts.freq
    if not parts.bysetpos:
        # A rule with each second as period, but limited to seconds 0 and 30, runs each minute.
        freq -= freq == SECONDLY and bool(parts.bysecond)
        freq -= freq == MINUTELY and bool(parts.byminute)
    return _ADVERBS[freq]


def _plural(name: str, numbers: Sequence[int]) -> str:
    return name if len(numbers) == 1 else f"{name}s"


def _past(minutes: Sequence[int]) -> str:
    """Return the minutes of an hour, as in ``at :00 and :30``."""
    if len(minutes) > MAX_TIMES:
        return f"at minutes {ranges(minutes)}"
    return f"at {join([f':{minute:02}' for minute in minutes], 'and')}"


def _frequency_fits(parts: Parts) -> bool:
    """Whether "yearly", "monthly" or "weekly" fits before the days of the rule.

    "monthly on day 1" is clear, but "monthly on Monday" misleads: the rule runs every Monday.
    """
    numbered = any(n for _, n in parts.byweekday)
    if parts.byyearday or parts.byeaster or parts.byweekno:
        by_week = bool(parts.byweekno and parts.byweekday)
        return parts.freq == YEARLY and bool(parts.byyearday or parts.byeaster or by_week)
    if parts.freq == YEARLY:
        if parts.bymonthday:
            return bool(parts.bymonth)
        return numbered
    if parts.freq == MONTHLY:
        return bool(parts.bymonthday) or numbered
    named = bool(parts.byweekday or parts.bymonthday)
    if parts.freq == DAILY:
        return not named or parts.interval > 1
    return bool(parts.byweekday) and not parts.bymonthday


def _limits(parts: Parts, *, after_frequency: bool) -> list[str]:
    """Return the days of a rule as terms, each with its preposition.

    :param after_frequency: the frequency, as in "monthly", stands before the terms.
    """
    terms: list[str] = []
    months: Sequence[int] = parts.bymonth
    days = parts.bymonthday
    if days and parts.freq == YEARLY and len(days) == len(months) == 1 and days[0] > 0:
        terms.append(f"on {days[0]} {MONTHS[months[0] - 1]}")
        months = ()
    elif days and parts.freq == YEARLY and months:
        terms.append(f"{_numbered(days, 'day')} of {_months(months)}")
        months = ()
    elif days:
        monthly = parts.freq == MONTHLY and after_frequency
        terms.append(_numbered(days, "day") + ("" if monthly else " of every month"))
    if parts.byyearday:
        terms.append(f"{_numbered(parts.byyearday, 'day')} of the year")
    if parts.byeaster:
        terms.append(_easter(parts.byeaster))
    if len(terms) > 1:
        terms = [" that is also ".join(terms)]
    if parts.byweekday:
        terms.append(_weekdays(parts, is_condition=bool(terms), after_frequency=after_frequency))
    if parts.byweekno:
        weeks = _numbered(parts.byweekno, "week").replace("on ", "in ", 1)
        terms.append(weeks if terms else f"every day {weeks}")
    if months:
        terms.append(f"in {_months(months)}")
    return terms


def _weekdays(parts: Parts, *, is_condition: bool, after_frequency: bool) -> str:
    """Return the weekdays of a rule, as in "on Mon, Wed".

    :param is_condition: other days stand before them, so write "if it is a Monday".
    :param after_frequency: as for :func:`_limits`.
    """
    days = parts.byweekday
    if any(n for _, n in days):
        names = join(
            [f"the {_ordinal(n)} {DAYS[day]}" if n else f"every {DAYS[day]}" for day, n in days],
            "or" if is_condition else "and",
        )
        within = " of each month" if parts.freq == YEARLY and parts.bymonth else ""
        return f"{'if it is' if is_condition else 'on'} {names}{within}"
    if is_condition:
        return f"if it is a {join([LONG_DAYS[day] for day, _ in days], 'or')}"
    if not after_frequency and parts.freq < HOURLY and len(days) == 1:
        return f"every {LONG_DAYS[days[0][0]]}"
    return f"on {weekday_names([day for day, _ in days])}"


def _names_days(parts: Parts) -> bool:
    return bool(
        parts.byweekday or parts.bymonthday or parts.byyearday or parts.byweekno or parts.byeaster
    )


def _nth(parts: Parts) -> str | None:
    """Return the one day of each period, as in "last Friday" or "last weekday"; None for other
    rules."""
    if not parts.byweekday or parts.freq > MONTHLY or parts.bymonthday:
        return None
    if parts.byyearday or parts.byweekno or parts.byeaster:
        return None
    if len(parts.byweekday) == 1 and parts.byweekday[0][1] and not parts.bysetpos:
        day, n = parts.byweekday[0]
        return f"{_ordinal(n)} {LONG_DAYS[day]}"
    plain = all(n == 0 for _, n in parts.byweekday)
    once_a_day = max(map(len, (parts.byhour, parts.byminute, parts.bysecond))) <= 1
    # BYSETPOS counts within the year of a yearly rule, through all of its months.
    within_months = parts.freq == YEARLY and len(parts.bymonth) > 1
    if len(parts.bysetpos) != 1 or not plain or not once_a_day or within_months:
        return None
    days = [day for day, _ in parts.byweekday]
    kinds = {(0, 1, 2, 3, 4): "weekday", (5, 6): "weekend day", tuple(range(7)): "day"}
    kind = LONG_DAYS[days[0]] if len(days) == 1 else kinds.get(tuple(days))
    return kind and f"{_ordinal(parts.bysetpos[0])} {kind}"


def _ordinal(n: int) -> str:
    if n == -1:
        return "last"
    number = abs(n)
    suffix = (
        "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    )
    names = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}
    word = names.get(number, f"{number}{suffix}")
    return word if n > 0 else f"{word} last"


def _numbered(numbers: Sequence[int], unit: str) -> str:
    """Return *numbers* as ``on days 1, 15 and the last day``."""
    late = [f"the {_ordinal(number)} {unit}" for number in numbers if number < 0]
    early = [number for number in numbers if number > 0]
    shown = ([f"{_plural(unit, early)} {ranges(early)}"] if early else []) + late
    return f"on {join(shown, 'and')}"


def _easter(distances: Sequence[int]) -> str:
    before = sorted(-number for number in distances if number < 0)
    after = [number for number in distances if number > 0]
    shown = [
        f"{ranges(numbers)} day{'s' * (numbers != [1])} {side} Easter"
        for numbers, side in ((before, "before"), (after, "after"))
        if numbers
    ]
    return join(shown + ["on Easter Sunday"] * (0 in distances), "and")


def _times(hours: Sequence[int], minutes: Sequence[int], seconds: Sequence[int]) -> str:
    if len(hours) * len(minutes) * len(seconds) <= MAX_TIMES:
        with_seconds = tuple(seconds) != (0,)
        times = [
            f"{h:02}:{m:02}" + (f":{s:02}" if with_seconds else "")
            for h, m, s in product(hours, minutes, seconds)
        ]
        return f"at {join(times, 'and')}"
    text = f"{_past(minutes)} of {_plural('hour', hours)} {ranges(hours, '02')}"
    if tuple(seconds) != (0,):
        text += f", {_plural('second', seconds)} {ranges(seconds)}"
    return text


def _months(months: Sequence[int]) -> str:
    return named_ranges([month - 1 for month in months], MONTHS)
