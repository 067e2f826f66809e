"""Lists the days that a recurrence rule names, from tables of years.

Pure; used by the rest of the recurrence engine only. The days of a year are the bits of a number,
so a handful of operations a year combines the parts of a rule. Years that begin on the same weekday
and have the same length share a table, so there are few tables, whatever the rule.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import date
from functools import lru_cache, reduce
from operator import or_

LAST_DAY = date.max.toordinal()
LAST_YEAR = date.max.year
#: Years after which weekdays and leap years come round again, and the days of them.
CYCLE_YEARS, CYCLE_DAYS = 400, 146_097

Numbers = tuple[int, ...]

#: A day of each of the weeks of a year, the first seven days from the first.
_WEEKLY = sum(1 << 7 * week for week in range(54))
_EASTER_REACH = 366
_AS_BYTES = bytes.maketrans(b"01", b"\0\1")


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
        #: But for Easter: by the number of the year in its cycle, and by what it depends on.
        self._known: list[int | None] = [None] * CYCLE_YEARS
        self._masks: dict[object, int] = {}
        self._tables: dict[int, Sequence[int]] = {}
        self._rows: dict[int, bytes] = {}
        self._meets: bool | None = None

    def of_year(self, year: int) -> tuple[int, int]:
        """Return the ordinal of the first of January, and the days of the year as bits; the first
        of January is the lowest bit.
        """
        cycle, number = divmod(year, CYCLE_YEARS)
        first = cycle * CYCLE_DAYS + _FIRST[number]
        mask = self._known[number]
        if mask is None:
            mask = self._known[number] = self._like(year, first)
        if mask and self.by_easter:
            mask &= self._around_easter << _easter(year) - first >> _EASTER_REACH
        return first, mask

    def _like(self, year: int, first: int) -> int:
        leap = calendar.isleap(year)
        kind: object = (first % 7, leap)
        if self._weeknos:
            kind = (kind, calendar.isleap(year - 1), calendar.isleap(year + 1))
        mask = self._masks.get(kind)
        if mask is None:
            mask = self._mask(year, first, 365 + leap)
            if self.by_easter:
                # On these Sundays Easter may be; for a rule that meets none no year is looked at.
                sundays = (day for day in range(80, 116) if (first + day) % 7 == 0)
                around = (self._around_easter << day >> _EASTER_REACH for day in sundays)
                mask &= reduce(or_, around)
            self._masks[kind] = mask
        return mask

    def table(self, mask: int) -> Sequence[int]:
        """Return the numbers of the bits in a mask of days, ascending."""
        table = self._tables.get(mask)
        if table is None:
            digits = bin(mask)[:1:-1]
            table = tuple(number for number, digit in enumerate(digits) if digit == "1")
            if len(self._tables) < 2 * CYCLE_YEARS:
                self._tables[mask] = table
        return table

    def has(self, day: int) -> bool:
        """Whether the rule names the day with this ordinal."""
        if self.any_day:
            return True
        first, mask = self.of_year(date.fromordinal(day).year)
        return bool(mask >> day - first & 1)

    def within(self, low: int, high: int) -> list[int]:
        """The ordinals of the days from *low* up to and including *high*, less than a year."""
        found: list[int] = []
        high = min(high, LAST_DAY)
        if low > high:
            return found
        for year in range(date.fromordinal(low).year, date.fromordinal(high).year + 1):
            first, mask = self.of_year(year)
            found += [first + day for day in self.table(mask) if low <= first + day <= high]
        return found

    def next(self, low: int) -> int | None:
        """Return the ordinal of the first day from *low* on; None when no day follows."""
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
        """The last year that a search from the year *begin* has to look at: after so many cycles
        the days repeat.
        """
        if self.by_easter and self._may_meet_easter():
            # It comes round again after 5,700,000 years only.
            return LAST_YEAR
        return min(begin + cycles * CYCLE_YEARS, LAST_YEAR)

    def _may_meet_easter(self) -> bool:
        """Whether the other parts leave a day at the right distance from any possible Easter."""
        if self._meets is None:
            years = range(CYCLE_YEARS, 2 * CYCLE_YEARS)
            self._meets = any(self._like(year, first_of(year)) for year in years)
        return self._meets

    def count(self, low: int, high: int) -> int:
        """Count the days from *low* to before *high*."""
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
        """Return a byte for each day of a cycle, 1 for the days of the rule; ``cycle(0)`` begins on
        the day with the ordinal 1.
        """
        kept = self._rows.get(number if self.by_easter else 0)
        if kept is not None:
            return kept
        rows: dict[tuple[int, int], bytes] = {}
        ordinals = []
        begin = number * CYCLE_YEARS + 1
        for year in range(begin, begin + CYCLE_YEARS):
            length = 365 + calendar.isleap(year)
            mask = self.of_year(year)[1] if year <= LAST_YEAR else 0
            row = rows.get((mask, length))
            if row is None:
                row = rows[mask, length] = f"{mask:0{length}b}"[::-1].encode().translate(_AS_BYTES)
            ordinals.append(row)
        whole = b"".join(ordinals)
        self._rows[number if self.by_easter else 0] = whole
        return whole

    def _mask(self, year: int, first: int, length: int) -> int:
        """The days of a year as bits, but for BYEASTER."""
        mask = (1 << length) - 1
        months = month_lengths(length)
        if self._months:
            mask &= sum((1 << days) - 1 << at for at, days in (months[m - 1] for m in self._months))
        if self._monthdays:
            mask &= sum(_numbered(self._monthdays, days) << at for at, days in months)
        if self._weekdays or self._nth:
            named = 0
            for weekday in self._weekdays:
                # As ordinals count, Monday is 1.
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
        """The days of a year in the weeks that BYWEEKNO names, by the numbers from the start and
        from the end of the week's year.

        As ISO 8601, but for weeks that begin on WKST: week 1 has at least four days of the year.
        """
        total = 0
        for start in range(-((first - 1 - self._wkst) % 7), length, 7):
            middle = first + start + 3
            of = year + (middle >= first + length) - (middle < first)
            passed, to_come = middle - first_of(of), first_of(of + 1) - 1 - middle
            number = passed // 7 + 1
            if number in self._weeknos or -(to_come // 7) - 1 in self._weeknos:
                total |= 0b1111111 << start if start >= 0 else 0b1111111 >> -start
        return total


def first_of(year: int) -> int:
    """The ordinal of the first of January; the year may be one before the calendar or after it."""
    before = year - 1
    return before * 365 + before // 4 - before // 100 + before // 400 + 1


#: What the first of January of each year of a cycle is after the last day before the cycle's year
#: 0; that one is before the calendar.
_FIRST = tuple(first_of(year) for year in range(CYCLE_YEARS))


@lru_cache(maxsize=2)
def month_lengths(length: int) -> tuple[tuple[int, int], ...]:
    """Return, for each month of a year of this length, the number of days before it and its own."""
    lengths = [calendar.monthrange(2023 + (length == 366), month)[1] for month in range(1, 13)]
    return tuple((sum(lengths[:month]), days) for month, days in enumerate(lengths))


def lowest(mask: int) -> int:
    """Return the number of the lowest bit of a mask that is not empty."""
    return (mask & -mask).bit_length() - 1


def _numbered(numbers: Numbers, length: int) -> int:
    """As bits, the days with these numbers from the start, or negative from the end."""
    places = {number - 1 if number > 0 else length + number for number in numbers}
    return sum(1 << place for place in places if 0 <= place < length)


@lru_cache(maxsize=10_000)
def _easter(year: int) -> int:
    """The ordinal of Easter Sunday; by the algorithm of Meeus, Jones and Butcher."""
    golden, (century, rest) = year % 19, divmod(year, 100)
    leap_century, of_four = divmod(century, 4)
    corrected = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leap_century - corrected + 15) % 30
    to_sunday = (32 + 2 * of_four + 2 * (rest // 4) - epact - rest % 4) % 7
    late = (golden + 11 * epact + 22 * to_sunday) // 451
    # Days after the 22nd of March.
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
    """Return the :class:`Days` of these parts, shared by the rules that have the same parts."""
    return Days(months, monthdays, yeardays, easters, weeknos, weekdays, wkst, nth_of_year)
