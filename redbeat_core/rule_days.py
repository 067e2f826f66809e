"""Which days a recurrence rule names, by the tables of the years that there are.

Pure; used by :mod:`redbeat_core.rrule_times` only. Years that begin on the same weekday and are
as long look alike, so that there are 14 tables (for Easter as many as it has dates), whatever
the rule; a search through 400 years looks at 400 tables and not at 146,097 days.
"""

from __future__ import annotations

import calendar
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import date
from functools import lru_cache

from dateutil.easter import easter

LAST_DAY = date.max.toordinal()
LAST_YEAR = date.max.year
#: Years after which weekdays and leap years come round again.
CYCLE_YEARS = 400

Numbers = tuple[int, ...]


class Days:
    """The days that match BYMONTH, BYMONTHDAY, BYYEARDAY, BYEASTER, BYWEEKNO and BYDAY together.

    :param nth_of_year: whether the n of a weekday counts within the year, not the month.
    """

    def __init__(
        self,
        months: Numbers,
        monthdays: Numbers,
        yeardays: Numbers,
        easters: Numbers,
        weeknos: Numbers,
        weekdays: tuple[tuple[int, int], ...],
        wkst: int,
        nth_of_year: bool,
    ) -> None:
        self._months = frozenset(months)
        self._monthdays = frozenset(monthdays)
        self._yeardays = frozenset(yeardays)
        self._easters = frozenset(easters)
        self._weeknos = frozenset(weeknos)
        self._weekdays = frozenset(day for day, n in weekdays if not n)
        self._nth = frozenset((day, n) for day, n in weekdays if n)
        self._wkst = wkst
        self._nth_of_year = nth_of_year
        self.any_day = not (months or monthdays or yeardays or easters or weeknos or weekdays)
        self._tables: dict[object, Sequence[int]] = {}

    def of_year(self, year: int) -> tuple[int, Sequence[int]]:
        """The ordinal of the first of January, and how far behind it the days are, ascending."""
        first = date(year, 1, 1).toordinal()
        leap = calendar.isleap(year)
        if self.any_day:
            return first, range(365 + leap)
        kind: object = (first % 7, leap)
        if self._weeknos:
            kind = (kind, calendar.isleap(year - 1), calendar.isleap(year + 1))
        if self._easters:
            kind = (kind, _easter(year).toordinal() - first)
        table = self._tables.get(kind)
        if table is None:
            table = self._tables[kind] = tuple(
                day.toordinal() - first for day in self._candidates(year) if self._matches(day)
            )
        return first, table

    def within(self, low: int, high: int) -> Sequence[int]:
        """The ordinals of the days from *low* up to and including *high*, less than a year."""
        found: list[int] = []
        for year in {date.fromordinal(low).year, date.fromordinal(high).year}:
            first, table = self.of_year(year)
            start = bisect_left(table, low - first)
            stop = bisect_left(table, high + 1 - first, start)
            found += [first + day for day in table[start:stop]]
        return sorted(found)

    def after(self, low: int, years: int = LAST_YEAR) -> Iterator[int]:
        """The ordinals of the days from *low* on, ascending; in that many years."""
        begin = date.fromordinal(low).year
        for year in range(begin, min(begin + years, LAST_YEAR) + 1):
            first, table = self.of_year(year)
            start = bisect_left(table, low - first) if year == begin else 0
            for day in table[start:] if start else table:
                yield first + day

    def _candidates(self, year: int) -> Iterator[date]:
        if self._easters:
            base = _easter(year).toordinal()
            for distance in sorted(self._easters):
                if 1 <= base + distance <= LAST_DAY:
                    day = date.fromordinal(base + distance)
                    if day.year == year:
                        yield day
            return
        for month in sorted(self._months) or range(1, 13):
            for number in range(1, calendar.monthrange(year, month)[1] + 1):
                yield date(year, month, number)

    def _matches(self, day: date) -> bool:
        if self._months and day.month not in self._months:
            return False
        if self._monthdays:
            behind = day.day - calendar.monthrange(day.year, day.month)[1] - 1
            if day.day not in self._monthdays and behind not in self._monthdays:
                return False
        if self._weekdays or self._nth:
            wanted = day.weekday() in self._weekdays
            if not wanted and not (self._nth and self._is_nth(day)):
                return False
        if self._yeardays:
            number = day.timetuple().tm_yday
            behind = number - 366 - calendar.isleap(day.year)
            if number not in self._yeardays and behind not in self._yeardays:
                return False
        return not self._weeknos or not self._weeknos.isdisjoint(_week_numbers(day, self._wkst))

    def _is_nth(self, day: date) -> bool:
        if self._nth_of_year:
            number, length = day.timetuple().tm_yday, 365 + calendar.isleap(day.year)
        else:
            number, length = day.day, calendar.monthrange(day.year, day.month)[1]
        weekday = day.weekday()
        return (weekday, (number - 1) // 7 + 1) in self._nth or (
            weekday,
            -((length - number) // 7 + 1),
        ) in self._nth


@lru_cache(maxsize=1024)
def days_of(
    months: Numbers,
    monthdays: Numbers,
    yeardays: Numbers,
    easters: Numbers,
    weeknos: Numbers,
    weekdays: tuple[tuple[int, int], ...],
    wkst: int,
    nth_of_year: bool,
) -> Days:
    """The :class:`Days` of these parts, shared by the rules that have them."""
    return Days(months, monthdays, yeardays, easters, weeknos, weekdays, wkst, nth_of_year)


@lru_cache(maxsize=10_000)
def _easter(year: int) -> date:
    found: date = easter(year)
    return found


def _week_numbers(day: date, wkst: int) -> tuple[int, int]:
    """The number of the week of *day*, from the start and from the end of the week's year.

    As ISO 8601, but for weeks that begin on *wkst*: week 1 has at least four days of the year.
    """
    middle = day.toordinal() - (day.weekday() - wkst) % 7 + 3
    year = date.fromordinal(min(max(middle, 1), LAST_DAY)).year
    number = (middle - date(year, 1, 1).toordinal()) // 7 + 1
    length = 365 + calendar.isleap(year)
    weeks = number + (date(year, 1, 1).toordinal() + length - 1 - middle) // 7
    return number, number - weeks - 1
