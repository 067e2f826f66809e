"""Computes the runs of a crontab: a bounded search over the sets that Celery expanded.

Pure. Celery's own search gives no run in the whole repeated hour when clocks go back, and its cost
is unbounded for dates that never occur. The DST policy is that of :mod:`.zones`: a crontab that
runs in every hour follows elapsed time, any other crontab follows local time. Day of month and day
of week must both match, as in Celery.
"""

from __future__ import annotations

import calendar
from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from functools import lru_cache
from itertools import product

from celery.schedules import crontab

from .dst import elapsed, wall_clock
from .zones import DEFAULT_DST, DstPolicy

#: The Gregorian calendar repeats after this many months (400 years).
_CYCLE_MONTHS = 4800


class CrontabTimes:
    """The local times at which a crontab runs, computed from its sets."""

    def __init__(
        self,
        minutes: frozenset[int],
        hours: frozenset[int],
        weekdays: frozenset[int],
        days: frozenset[int],
        months: frozenset[int],
    ) -> None:
        self._clock = tuple(time(*hm) for hm in product(sorted(hours), sorted(minutes)))
        self._weekdays = weekdays
        self._days = sorted(days)
        self._months = months
        self.every_hour = len(hours) == 24

    def local_from(self, at: datetime) -> Iterator[datetime]:
        """Yield the naive local times at or after *at*, ascending."""
        for day in self._dates(at.date()):
            first = bisect_left(self._clock, at.time()) if day == at.date() else 0
            for time_of_day in self._clock[first:]:
                yield datetime.combine(day, time_of_day)

    def _dates(self, start: date) -> Iterator[date]:
        """Yield the dates from *start* on whose month, day and weekday match, ascending."""
        month = start.year * 12 + start.month - 1
        empty = 0
        while empty <= _CYCLE_MONTHS and month < (date.max.year + 1) * 12:
            year, number = month // 12, month % 12 + 1
            empty += 1
            if number in self._months:
                length = calendar.monthrange(year, number)[1]
                for day in self._days:
                    if day > length:
                        break
                    candidate = date(year, number, day)
                    if candidate >= start and candidate.isoweekday() % 7 in self._weekdays:
                        yield candidate
                        empty = 0
            month += 1


@lru_cache(maxsize=4096)
def _times(*sets: frozenset[int]) -> CrontabTimes:
    return CrontabTimes(*sets)


def wall_times_of(schedule: crontab) -> Callable[[datetime], Iterator[datetime]] | None:
    """Return the function that yields the local times of *schedule*; None for elapsed time."""
    times = _times_of(schedule)
    return None if times.every_hour else times.local_from


def _times_of(schedule: crontab) -> CrontabTimes:
    return _times(
        frozenset(schedule.minute),
        frozenset(schedule.hour),
        frozenset(schedule.day_of_week),
        frozenset(schedule.day_of_month),
        frozenset(schedule.month_of_year),
    )


def crontab_after(
    schedule: crontab, after: datetime, dst: DstPolicy = DEFAULT_DST
) -> Iterator[datetime]:
    """Yield the runs of *schedule* strictly after *after* (aware), in UTC, ascending, each once.

    The zone is ``schedule.tz``: the app's zone, unless a subclass has its own.
    """
    times = _times_of(schedule)
    zone = schedule.tz
    after = after.astimezone(UTC)
    if times.every_hour:
        return elapsed(zone, after, lambda local, _offset: times.local_from(local))
    return wall_clock(zone, after, times.local_from, dst)
