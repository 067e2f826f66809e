"""Describes crontabs in plain English, from the sets of numbers that Celery parsed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from celery.schedules import crontab

from .english import DAYS, LONG_DAYS, MAX_TIMES, MONTHS, join, named_ranges, ranges


def describe_crontab(schedule: crontab) -> str:
    """Describe *schedule*, as in "every 5 minutes on weekdays 09-17" or "on day 1 of the month at
    00:00"."""
    days = _days(schedule)
    often, when = _times(sorted(schedule.minute), sorted(schedule.hour))
    if not often and not days.startswith("on "):
        days = f"daily {days}".rstrip()
    return " ".join(part for part in (often or days, often and days, when) if part)


def _times(minutes: Sequence[int], hours: Sequence[int]) -> tuple[str, str]:
    """Return the frequency, empty for times of day; and the hours, minutes or times of day."""
    often = _step(minutes, 60, "minute")
    if often:
        return often, "" if len(hours) == 24 else _hours(hours)
    past = "" if list(minutes) == [0] else f"at {join([f':{m:02}' for m in minutes], 'and')}"
    often = _step(hours, 24, "hour")
    if often and len(minutes) <= MAX_TIMES:
        return often, past
    if len(hours) * len(minutes) <= MAX_TIMES:
        return "", f"at {join([f'{h:02}:{m:02}' for h in hours for m in minutes], 'and')}"
    if len(minutes) <= MAX_TIMES and hours[-1] - hours[0] == len(hours) - 1:
        return "every hour", f"{_hours(hours)}{f' {past}' if past else ''}"
    if len(minutes) <= MAX_TIMES:
        return "", f"{past or 'at :00'} of hours {ranges(hours, '02')}"
    if len(hours) == 24:
        return f"at minutes {ranges(minutes)} of every hour", ""
    return "", f"at minutes {ranges(minutes)} of hour{'s' * (len(hours) > 1)} {ranges(hours, '02')}"


def _hours(hours: Sequence[int]) -> str:
    """Return *hours* as ``09-17``, or as ``in hours 09, 17`` if they are no range."""
    text = ranges(hours, "02")
    if len(hours) > 2 and hours[-1] - hours[0] == len(hours) - 1:
        return text
    return f"in hour{'s' * (len(hours) > 1)} {text}"


def _step(numbers: Sequence[int], size: int, unit: str) -> str:
    """Return ``every 5 minutes`` if *numbers* have equal distances from 0 to *size*, else empty."""
    if len(numbers) == size:
        return f"every {unit}"
    if len(numbers) < 2 or numbers[0] != 0 or size % len(numbers):
        return ""
    step = size // len(numbers)
    even = list(numbers) == list(range(0, size, step))
    # Two or three hours of a day are listed as times of day.
    return f"every {step} {unit}s" if even and len(numbers) > 3 - (size == 60) * 2 else ""


def _days(schedule: crontab) -> str:
    """Return the days, as in ``on weekdays in Jan``; empty for every day."""
    days = sorted(schedule.day_of_month)
    months = sorted(schedule.month_of_year)
    parts = []
    if len(days) == 1 and len(months) == 1:
        parts.append(f"on {days[0]} {MONTHS[months[0] - 1]}")
        months = list(range(12))
    elif len(days) < 31:
        parts.append(f"on {'day' if len(days) == 1 else 'days'} {ranges(days)} of the month")
    if len(schedule.day_of_week) < 7:
        names = weekday_names({(day - 1) % 7 for day in schedule.day_of_week})
        # cron runs if the day of month or the weekday matches; Celery only if both match.
        parts.append(f"if it is {_one_of(schedule)}" if len(days) < 31 else f"on {names}")
    if len(months) < 12:
        parts.append(f"in {named_ranges([month - 1 for month in months], MONTHS)}")
    return " ".join(parts)


def _one_of(schedule: crontab) -> str:
    days = sorted((day - 1) % 7 for day in schedule.day_of_week)
    if days == [0, 1, 2, 3, 4]:
        return "a weekday"
    if days == [5, 6]:
        return "a weekend day"
    return f"a {join([LONG_DAYS[day] for day in days], 'or')}"


def weekday_names(days: Collection[int]) -> str:
    """Return ``weekdays``, ``Monday`` or ``Mon, Wed-Fri`` for *days*, of which 0 is Monday."""
    chosen = sorted(days)
    if chosen == [0, 1, 2, 3, 4]:
        return "weekdays"
    if chosen == [5, 6]:
        return "weekends"
    return LONG_DAYS[chosen[0]] if len(chosen) == 1 else named_ranges(chosen, DAYS)
