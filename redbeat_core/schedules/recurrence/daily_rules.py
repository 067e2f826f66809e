"""Computes the occurrences of YEARLY, MONTHLY, WEEKLY and DAILY rules in naive local time.

Pure; used by :mod:`.floating_rule` only. The periods of a rule (its years, months, weeks or days)
are numbered from the one that contains DTSTART, and every INTERVAL-th one is active. Both the
search for the next occurrence and the count of past ones read, one year at a time, how many days
match in each period of the year.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from math import gcd

from .calendar_days import LAST_DAY, LAST_YEAR, first_of, lowest, month_lengths
from .rule_parts import (
    DAILY,
    DAY_SECONDS,
    MONTHLY,
    WEEKLY,
    YEARLY,
    Clock,
    Parts,
    moment_of,
    second_of_day,
)

#: The periods in 400 years, after which weekdays and leap years repeat.
_CYCLE = {YEARLY: 400, MONTHLY: 4_800, WEEKLY: 20_871, DAILY: 146_097}


class DailyRule:
    """The occurrences of a rule whose periods are days or longer.

    :param parts: the completed parts of the rule.
    :param start: DTSTART as a naive local time.
    :ivar most_a_day: an upper limit for the number of occurrences in one day.
    """

    def __init__(self, parts: Parts, start: datetime) -> None:
        self._parts = parts
        self._freq = parts.freq
        self._step = parts.interval
        self._days = parts.days
        self._clock = Clock(parts.byhour, parts.byminute, parts.bysecond)
        self._start = start.toordinal()
        self._month = start.year * 12 + start.month - 1
        self._week = self._start - (start.weekday() - parts.wkst) % 7
        self.most_a_day = self._clock.size
        least = min(map(abs, parts.bysetpos), default=1)
        #: The fewest matching days that a period with an occurrence has.
        self._least = -(-least // self._clock.size)
        self._cycles = self._step // gcd(self._step, _CYCLE[self._freq])
        #: Every INTERVAL-th day of a year, as bits.
        self._every_step = sum(1 << day for day in range(0, 366, self._step))
        self._weeks: dict[tuple[int, int, int], tuple[int, ...]] = {}
        self._totals: dict[tuple[tuple[int, ...], int], int] = {}
        self._numbers: dict[int, int] = {}

    def times_from(self, at: datetime) -> Iterator[datetime]:
        """Yield the occurrences at or after *at*, which is not before DTSTART, ascending."""
        index = self._number_of(at.toordinal())
        period = self._next(index)
        while period is not None:
            days = self._days_in(period)
            places = self._parts.positions(len(days) * self._clock.size)
            begin = bisect_left(places, self._rank(days, at)) if period == index else 0
            for place in places[begin:]:
                day, time_of_day = divmod(place, self._clock.size)
                yield moment_of(days[day] * DAY_SECONDS + self._clock.second_of(time_of_day))
            period = self._next(period + 1)

    def count_between(self, low: datetime, high: datetime) -> int:
        """Return the number of occurrences from *low*, not before DTSTART, to before *high*."""
        begin = self._number_of(low.toordinal())
        end = self._number_of(high.toordinal())
        into = self._count_into(end, high) - self._count_into(begin, low)
        if self._freq == DAILY:
            days = self._count_days(self._start + begin, self._start + end)
            return into + days * self._count_of(1)
        number = 0
        for year in range(self._year_of(begin), self._year_of(end) + 1):
            first, sizes = self._of_year(year)
            start, stop = max(begin - first, 0), min(end - first, len(sizes))
            number += self._total(sizes, start - (first + start) % -self._step, stop)
        if begin == 0 < end and self._freq == WEEKLY:
            # The days of the first week before DTSTART do not belong to its set.
            size = len(self._days_in(0))
            number += self._count_of(size) - self._count_of(self._full_week())
        return number + into

    def _full_week(self) -> int:
        """Return the number of matching days in the first week, with those before DTSTART."""
        return len(self._days.within(max(self._week, 1), self._week + 6))

    def _total(self, sizes: tuple[int, ...], start: int, stop: int) -> int:
        """Return the occurrences in every INTERVAL-th period from *start* to before *stop*.

        :param sizes: the number of matching days in each period.
        """
        if stop < len(sizes):
            return sum(map(self._count_of, sizes[start : max(stop, 0) : self._step]))
        key = (sizes, start)
        total = self._totals.get(key)
        if total is None:
            total = sum(map(self._count_of, sizes[start :: self._step]))
            self._totals[key] = total
        return total

    def _count_of(self, days: int) -> int:
        """Return the number of occurrences in a period with *days* matching days."""
        number = self._numbers.get(days)
        if number is None:
            number = self._numbers[days] = len(self._parts.positions(days * self._clock.size))
        return number

    def _count_into(self, index: int, at: datetime) -> int:
        """Return the number of occurrences of the period *index* before *at*."""
        if index % self._step:
            return 0
        days = self._days_in(index)
        places = self._parts.positions(len(days) * self._clock.size)
        return bisect_left(places, self._rank(days, at))

    def _rank(self, days: Sequence[int], at: datetime) -> int:
        """Return the number of times of the matching *days* before *at*, without BYSETPOS."""
        ordinal = at.toordinal()
        passed = bisect_left(days, ordinal)
        rank = passed * self._clock.size
        if passed < len(days) and days[passed] == ordinal:
            rank += self._clock.place_of(second_of_day(at))
        return rank

    def _number_of(self, ordinal: int) -> int:
        """Return the number of the period that contains the day *ordinal*."""
        if self._freq == WEEKLY:
            return (ordinal - self._week) // 7
        if self._freq == DAILY:
            return ordinal - self._start
        day = date.fromordinal(ordinal)
        if self._freq == YEARLY:
            return day.year - self._month // 12
        return day.year * 12 + day.month - 1 - self._month

    def _year_of(self, index: int) -> int:
        """Return the year in which the period *index* begins, at least 1."""
        if self._freq == YEARLY:
            return self._month // 12 + index
        if self._freq == MONTHLY:
            return (self._month + index) // 12
        return date.fromordinal(max(self._week + index * 7, 1)).year

    def _days_in(self, index: int) -> Sequence[int]:
        """Return the ordinals of the matching days of the period *index*."""
        if self._freq == DAILY:
            day = self._start + index
            return (day,) if self._days.has(day) else ()
        if self._freq == WEEKLY:
            low = self._week + index * 7
            # As in dateutil, the first week begins with DTSTART; this affects BYSETPOS.
            return self._days.within(max(low, self._start), low + 6)
        first, mask = self._days.of_year(self._year_of(index))
        table = self._days.table(mask)
        if self._freq == MONTHLY:
            before, length = month_lengths(first_of(self._year_of(index) + 1) - first)[
                (self._month + index) % 12
            ]
            table = table[bisect_left(table, before) : bisect_left(table, before + length)]
        return [first + day for day in table]

    def _next(self, index: int) -> int | None:
        """Return the first active period from *index* on that has an occurrence, or None."""
        if self._freq == DAILY:
            return self._next_day(index)
        if self._freq == WEEKLY and index == 0:
            if len(self._days_in(0)) >= self._least:
                return 0
            index = 1
        step = self._step
        least = self._least
        if self._freq == WEEKLY and self._week + index * 7 > LAST_DAY:
            return None
        begin = self._year_of(index)
        for year in range(begin, self._days.last_year(begin, self._cycles) + 1):
            first, sizes = self._of_year(year)
            start = max(index - first, 0)
            start -= (first + start) % -step
            for place in range(start, len(sizes), step):
                if sizes[place] >= least:
                    return first + place
        return None

    def _next_day(self, index: int) -> int | None:
        day = self._start + index
        step = self._step
        if self._least > 1 or day > LAST_DAY:
            return None
        begin = date.fromordinal(day).year
        for year in range(begin, self._days.last_year(begin, self._cycles) + 1):
            first, mask = self._days.of_year(year)
            low = max(day, first)
            wait = (self._start - low) % step
            mask = mask >> low - first + wait & self._every_step if wait < 366 else 0
            if mask:
                return low + wait + lowest(mask) - self._start
        return None

    def _count_days(self, low: int, high: int) -> int:
        """Return the number of active matching days from *low* to before *high* (ordinals)."""
        if self._step == 1 or high <= low:
            return self._days.count(low, max(low, high))
        number = 0
        for year in range(date.fromordinal(low).year, date.fromordinal(high).year + 1):
            first, mask = self._days.of_year(year)
            begin = max(low, first)
            wait = (self._start - begin) % self._step
            if begin + wait < high and wait < 366:
                mask = mask >> begin - first + wait & self._every_step
                number += (mask & (1 << min(high - begin - wait, 366)) - 1).bit_count()
        return number

    def _of_year(self, year: int) -> tuple[int, tuple[int, ...]]:
        """Return the number of the first period that begins in *year*, and the number of matching
        days in each period that begins in it."""
        first, mask = self._days.of_year(year)
        if self._freq == YEARLY:
            return year - self._month // 12, (mask.bit_count(),)
        length = first_of(year + 1) - first
        if self._freq == MONTHLY:
            if not mask:
                return year * 12 - self._month, ()
            key = (0, mask, length)
            sizes = self._weeks.get(key)
            if sizes is None:
                sizes = self._weeks[key] = tuple(
                    (mask >> before & (1 << days) - 1).bit_count()
                    for before, days in month_lengths(length)
                )
            return year * 12 - self._month, sizes
        begin = (self._week - first) % 7
        if year < LAST_YEAR:
            mask |= (self._days.of_year(year + 1)[1] & 0b111111) << length
        if not mask:
            return (first + begin - self._week) // 7, ()
        key = (begin, mask, length)
        sizes = self._weeks.get(key)
        if sizes is None:
            sizes = self._weeks[key] = tuple(
                (mask >> day & 0b1111111).bit_count() for day in range(begin, length, 7)
            )
        return (first + begin - self._week) // 7, sizes
