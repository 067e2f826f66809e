"""Computes the days that the parts of a recurrence rule name, with a bit set for each year.

Pure; used by the rest of the recurrence engine only. The days of a year are the bits of an
integer, so a few operations per year combine the parts of a rule. Years of the same length that
begin on the same weekday have the same bits, so there are few tables, whatever the rule.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import date
from functools import lru_cache, reduce
from operator import or_

LAST_DAY = date.max.toordinal()
LAST_YEAR = date.max.year
#: Weekdays and leap years repeat after this number of years.
CYCLE_YEARS = 400
#: The number of days in such a cycle.
CYCLE_DAYS = 146_097

Numbers = tuple[int, ...]

#: Every seventh day of a year as bits, from the first day on.
_WEEKLY = sum(1 << 7 * week for week in range(54))
#: The largest distance of a BYEASTER day from Easter, in days.
_EASTER_REACH = 366
#: Translates the digits of a binary number to the bytes 0 and 1.
_AS_BYTES = bytes.maketrans(b"01", b"\0\1")


class Days:
    """The days that match BYMONTH, BYMONTHDAY, BYYEARDAY, BYEASTER, BYWEEKNO and BYDAY together.

    :param weekdays: pairs (weekday, n); n is 0 for every such weekday.
    :param wkst: the first day of the week; Monday is 0.
    :param nth_of_year: whether n counts the weekdays of the year, not of the month.
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
        self._months = months
        self._monthdays = monthdays
        self._yeardays = yeardays
        self.by_easter = bool(easters)
        self._around_easter = sum(1 << distance + _EASTER_REACH for distance in set(easters))
        self._weeknos = frozenset(weeknos)
        self._weekdays = frozenset(day for day, n in weekdays if not n)
        self._nth = frozenset((day, n) for day, n in weekdays if n)
        self._wkst = wkst
        self._nth_of_year = nth_of_year
        self.any_day = not (months or monthdays or yeardays or easters or weeknos or weekdays)
        #: The days of a year as bits, before BYEASTER, by the number of the year in its cycle.
        self._mask_by_year: list[int | None] = [None] * CYCLE_YEARS
        #: The same, by the kind of the year: its first weekday, its length, and its neighbours'.
        self._masks: dict[object, int] = {}
        self._tables: dict[int, Sequence[int]] = {}
        self._rows: dict[int, bytes] = {}
        self._may_match_easter: bool | None = None

    def of_year(self, year: int) -> tuple[int, int]:
        """Return the ordinal of January 1, and the days as bits (January 1 is bit 0)."""
        cycle, number = divmod(year, CYCLE_YEARS)
        first = cycle * CYCLE_DAYS + _FIRST[number]
        mask = self._mask_by_year[number]
        if mask is None:
            mask = self._mask_by_year[number] = self._mask_before_easter(year, first)
        if mask and self.by_easter:
            mask &= self._around_easter << _easter(year) - first >> _EASTER_REACH
        return first, mask

    def _mask_before_easter(self, year: int, first: int) -> int:
        """Return the days of a year as bits, without the exact distance from Easter.

        :param first: the ordinal of January 1.
        """
        leap = calendar.isleap(year)
        kind: object = (first % 7, leap)
        if self._weeknos:
            kind = (kind, calendar.isleap(year - 1), calendar.isleap(year + 1))
        mask = self._masks.get(kind)
        if mask is None:
            mask = self._mask(year, first, 365 + leap)
            if self.by_easter:
                # Easter may be on these Sundays. A rule that matches none of them needs no search
                # by year.
                sundays = (day for day in range(80, 116) if (first + day) % 7 == 0)
                around = (self._around_easter << day >> _EASTER_REACH for day in sundays)
                mask &= reduce(or_, around)
            self._masks[kind] = mask
        return mask

    def table(self, mask: int) -> Sequence[int]:
        """Return the positions of the bits that are set in *mask*, ascending."""
        table = self._tables.get(mask)
        if table is None:
            digits = bin(mask)[:1:-1]
            table = tuple(number for number, digit in enumerate(digits) if digit == "1")
            if len(self._tables) < 2 * CYCLE_YEARS:
                self._tables[mask] = table
        return table

    def has(self, day: int) -> bool:
        """Whether the rule names the day with the ordinal *day*."""
        if self.any_day:
            return True
        first, mask = self.of_year(date.fromordinal(day).year)
        return bool(mask >> day - first & 1)

    def within(self, low: int, high: int) -> list[int]:
        """Return the ordinals of the days from *low* up to and including *high*.

        The range is shorter than a year.
        """
        ordinals: list[int] = []
        high = min(high, LAST_DAY)
        if low > high:
            return ordinals
        for year in range(date.fromordinal(low).year, date.fromordinal(high).year + 1):
            first, mask = self.of_year(year)
            ordinals += [first + day for day in self.table(mask) if low <= first + day <= high]
        return ordinals

    def next(self, low: int) -> int | None:
        """Return the ordinal of the first day from *low* on; None where there is none."""
        if low > LAST_DAY:
            return None
        if self.any_day:
            return low
        begin = date.fromordinal(low).year
        for year in range(begin, self.last_year(begin) + 1):
            first, mask = self.of_year(year)
            if year == begin:
                mask = mask >> low - first << low - first
            if mask:
                return first + lowest(mask)
        return None

    def last_year(self, begin: int, cycles: int = 1) -> int:
        """Return the last year that a search from the year *begin* must visit.

        After *cycles* cycles of 400 years the days repeat.
        """
        if self.by_easter and self._can_match_easter():
            # The dates of Easter repeat only after 5,700,000 years.
            return LAST_YEAR
        return min(begin + cycles * CYCLE_YEARS, LAST_YEAR)

    def _can_match_easter(self) -> bool:
        """Whether the other parts allow a day at the right distance from any possible Easter."""
        if self._may_match_easter is None:
            years = range(CYCLE_YEARS, 2 * CYCLE_YEARS)
            self._may_match_easter = any(
                self._mask_before_easter(year, first_of(year)) for year in years
            )
        return self._may_match_easter

    def count(self, low: int, high: int) -> int:
        """Return the number of days of the rule from *low* to before *high*."""
        if self.any_day:
            return high - low
        number = 0
        for year in range(date.fromordinal(low).year, date.fromordinal(high).year + 1):
            first, mask = self.of_year(year)
            if first < low:
                mask >>= low - first
                first = low
            if high - first < 366:
                mask &= (1 << max(high - first, 0)) - 1
            number += mask.bit_count()
        return number

    def cycle(self, number: int) -> bytes:
        """Return one byte for each day of a cycle: 1 for the days of the rule, else 0.

        ``cycle(0)`` begins on the day with the ordinal 1.
        """
        cached = self._rows.get(number if self.by_easter else 0)
        if cached is not None:
            return cached
        rows: dict[tuple[int, int], bytes] = {}
        years = []
        begin = number * CYCLE_YEARS + 1
        for year in range(begin, begin + CYCLE_YEARS):
            length = 365 + calendar.isleap(year)
            mask = self.of_year(year)[1] if year <= LAST_YEAR else 0
            row = rows.get((mask, length))
            if row is None:
                row = rows[mask, length] = f"{mask:0{length}b}"[::-1].encode().translate(_AS_BYTES)
            years.append(row)
        whole = b"".join(years)
        self._rows[number if self.by_easter else 0] = whole
        return whole

    def _mask(self, year: int, first: int, length: int) -> int:
        """Return the days of a year as bits, by all parts except BYEASTER."""
        mask = (1 << length) - 1
        months = month_lengths(length)
        if self._months:
            mask &= sum((1 << days) - 1 << at for at, days in (months[m - 1] for m in self._months))
        if self._monthdays:
            mask &= sum(_numbered(self._monthdays, days) << at for at, days in months)
        if self._weekdays or self._nth:
            named = 0
            for weekday in self._weekdays:
                # A day with an ordinal of 1 modulo 7 is a Monday.
                named |= _WEEKLY << (weekday + 1 - first) % 7
            for at, days in ((0, length),) if self._nth_of_year else months:
                for weekday, n in self._nth:
                    least = (weekday + 1 - first - at) % 7
                    number = least + 7 * (n - 1) if n > 0 else days - 1 + 7 * (n + 1)
                    if n < 0:
                        number -= (days - 1 - least) % 7
                    if 0 <= number < days:
                        named |= 1 << at + number
            mask &= named
        if self._yeardays:
            mask &= _numbered(self._yeardays, length)
        return mask & self._weeks(year, first, length) if self._weeknos else mask

    def _weeks(self, year: int, first: int, length: int) -> int:
        """Return, as bits, the days of a year that lie in the weeks of BYWEEKNO.

        A week has a number from the start and one from the end of its year. The numbers are those
        of ISO 8601, but for weeks that begin on WKST: week 1 has at least four days of the year.
        """
        mask = 0
        for start in range(-((first - 1 - self._wkst) % 7), length, 7):
            middle = first + start + 3
            week_year = year + (middle >= first + length) - (middle < first)
            days_before = middle - first_of(week_year)
            days_after = first_of(week_year + 1) - 1 - middle
            number = days_before // 7 + 1
            if number in self._weeknos or -(days_after // 7) - 1 in self._weeknos:
                mask |= 0b1111111 << start if start >= 0 else 0b1111111 >> -start
        return mask


def first_of(year: int) -> int:
    """Return the ordinal of January 1; the year may lie outside the calendar of ``datetime``."""
    before = year - 1
    return before * 365 + before // 4 - before // 100 + before // 400 + 1


#: For each year of a cycle, the ordinal of January 1 relative to the cycle that year 0 begins.
#: ``datetime`` has no year 0.
_FIRST = tuple(first_of(year) for year in range(CYCLE_YEARS))


@lru_cache(maxsize=2)
def month_lengths(length: int) -> tuple[tuple[int, int], ...]:
    """Return for each month of a year of *length* days: the days before it, and its own days."""
    lengths = [calendar.monthrange(2023 + (length == 366), month)[1] for month in range(1, 13)]
    return tuple((sum(lengths[:month]), days) for month, days in enumerate(lengths))


def lowest(mask: int) -> int:
    """Return the position of the lowest bit that is set in *mask*, which is not 0."""
    return (mask & -mask).bit_length() - 1


def _numbered(numbers: Numbers, length: int) -> int:
    """Return days as bits, by their numbers: from 1 from the start, from -1 from the end."""
    places = {number - 1 if number > 0 else length + number for number in numbers}
    return sum(1 << place for place in places if 0 <= place < length)


@lru_cache(maxsize=10_000)
def _easter(year: int) -> int:
    """Return the ordinal of Easter Sunday, by the algorithm of Meeus, Jones and Butcher."""
    golden, (century, rest) = year % 19, divmod(year, 100)
    leap_century, of_four = divmod(century, 4)
    corrected = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leap_century - corrected + 15) % 30
    to_sunday = (32 + 2 * of_four + 2 * (rest // 4) - epact - rest % 4) % 7
    late = (golden + 11 * epact + 22 * to_sunday) // 451
    # Days after March 22.
    after = epact + to_sunday - 7 * late
    return first_of(year + 1) - 285 + after


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
    """Return the :class:`Days` of these parts; rules with equal parts share one."""
    return Days(months, monthdays, yeardays, easters, weeknos, weekdays, wkst, nth_of_year)
