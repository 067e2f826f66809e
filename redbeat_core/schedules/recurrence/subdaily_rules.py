"""Computes the occurrences of HOURLY, MINUTELY and SECONDLY rules in naive local time.

Pure; used by :mod:`.floating_rule` only. Such a rule ticks every INTERVAL units from DTSTART on. A
tick is active on a day and at a time of day that the rule names. The times of a day are a row of
bytes; the ticks of the day are every INTERVAL-th byte of it, so one operation finds or counts all
of them. Where many days in a row have no active tick, one computation covers all days: the ticks
come at the same times of day again after a fixed number of days.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import compress
from math import gcd
from operator import mul
from typing import Any, TypeVar

from .calendar_days import CYCLE_DAYS, LAST_DAY, lowest
from .rule_parts import (
    DAY_SECONDS,
    UNIT_SECONDS,
    Clock,
    Parts,
    moment_of,
    ordinal_seconds,
)

_Row = TypeVar("_Row", bytes, Sequence[int])

#: After this many days in a row without an active tick, all days are computed at once.
_VISITED_DAYS = 50
#: With fewer ticks than this it is cheaper to visit each tick.
_FEW_TICKS = 2000
#: Where the ticks repeat after at most this many days, each day of the repetition is counted apart.
_FEW_DAYS = 100


class SubdailyRule:
    """The occurrences of a rule whose periods are hours or shorter.

    :param parts: the completed parts of the rule.
    :param start: DTSTART as a naive local time.
    :ivar most_a_day: an upper limit for the number of occurrences in one day.
    """

    def __init__(self, parts: Parts, start: datetime) -> None:
        self._unit = unit = UNIT_SECONDS[parts.freq]
        self._day = DAY_SECONDS // unit
        self._step = parts.interval
        self._base = ordinal_seconds(start) // unit
        self._days = parts.days
        self._row = _row(parts, unit)
        #: The ticks come at the same times of day again after this number of days.
        self._repeat_days = self._step // gcd(self._step, self._day)
        within = Clock(
            (0,), parts.byminute if unit == 3600 else (0,), parts.bysecond if unit > 1 else (0,)
        )
        #: The occurrences that belong to one tick, in seconds after it.
        self._within = [within.second_of(place) for place in parts.positions(within.size)]
        ticks = min(self._row.count(1), self._day // self._step + 1)
        self.most_a_day = ticks * len(self._within)
        #: The last result of :meth:`_numbers`.
        self._last_numbers: tuple[int, Sequence[int]] | None = None

    def times_from(self, at: datetime) -> Iterator[datetime]:
        """Yield the occurrences at or after *at*, ascending."""
        seconds = ordinal_seconds(at)
        within = self._within
        if not within:
            return
        for tick in self._from(seconds // self._unit):
            begin = tick * self._unit
            skip = bisect_left(within, seconds - begin) if begin < seconds else 0
            for later in within[skip:] if skip else within:
                yield moment_of(begin + later)

    def count_between(self, low: datetime, high: datetime) -> int:
        """Return the number of occurrences from *low*, not before DTSTART, to before *high*."""
        begin, end = ordinal_seconds(low), ordinal_seconds(high)
        number = len(self._within) * self._count(begin // self._unit, end // self._unit)
        return number + self._into(end) - self._into(begin)

    def _into(self, seconds: int) -> int:
        """Count the occurrences before *seconds* that belong to the tick at *seconds*."""
        tick, passed = divmod(seconds, self._unit)
        number = bisect_left(self._within, passed)
        return number * self._count(tick, tick + 1) if number else 0

    def _first(self, day: int) -> int:
        """Return the first tick at or after the start of *day*, in units from there.

        It may lie after the end of the day.
        """
        return (self._base - day * self._day) % self._step

    def _from(self, tick: int) -> Iterator[int]:
        """Yield the active ticks from *tick* on, ascending."""
        day, begin = divmod(tick, self._day)
        step = self._step
        visited = 0
        while True:
            next_day = self._days.next(day)
            if next_day is not None and visited > _VISITED_DAYS and self._is_long(next_day):
                next_day = self._next_day(next_day)
            if next_day is None:
                return
            if next_day != day:
                day = next_day
                begin = 0
            first = self._first(day)
            row = self._row[first::step]
            place = row.find(1, max(-((first - begin) // step), 0))
            while place >= 0:
                yield day * self._day + first + place * step
                visited = 0
                place = row.find(1, place + 1)
            day += (first + len(row) * step) // self._day
            begin = 0
            visited += 1

    def _is_long(self, day: int) -> bool:
        """Whether many ticks remain from *day* to the end of the calendar."""
        return (LAST_DAY - day) * self._day > self._step * _FEW_TICKS

    def _next_day(self, day: int) -> int | None:
        """Return the first day from *day* on with an active tick; None where there is none."""
        begin, numbers = self._numbers(day)
        ticking = numbers if isinstance(numbers, bytes) else bytes(map(bool, numbers))
        if not any(ticking):
            return None
        for cycle in range((day - 1) // CYCLE_DAYS, (LAST_DAY - 1) // CYCLE_DAYS + 1):
            low, high = _overlap(cycle, day, LAST_DAY + 1)
            row = _repeated(ticking, low - begin, high - low)
            both = int.from_bytes(row, "little") & int.from_bytes(
                self._named(cycle, low, high), "little"
            )
            if both:
                return low + lowest(both) // 8
        return None

    def _named(self, cycle: int, low: int, high: int) -> bytes:
        """Return one byte for each day of a cycle from *low* to before *high*: 1 if named."""
        begin = cycle * CYCLE_DAYS + 1
        return self._days.cycle(cycle)[low - begin : high - begin]

    def _numbers(self, day: int) -> tuple[int, Sequence[int]]:
        """Return for each day the number of ticks at a time of day that the rule names.

        :returns: the first day, and the numbers from that day until the ticks repeat or the
            calendar ends. The first day is not after *day*, unless the ticks repeat.
        """
        last = self._last_numbers
        if last is not None and (last[0] <= day or len(last[1]) == self._repeat_days):
            return last
        length = self._day
        step = self._step
        days = min(self._repeat_days, LAST_DAY + 1 - day)
        numbers: Sequence[int]
        if step <= length:
            folded = _folded(self._row, step)
            base = self._base - day * length
            numbers = [folded[(base - passed) % step] for passed in range(0, days * length, length)]
        else:
            row = self._row
            active = bytearray(days)
            ticks = range(self._first(day), days * length, step)
            for tick in compress(ticks, [row[tick % length] for tick in ticks]):
                active[tick // length] = 1
            numbers = bytes(active)
        self._last_numbers = (day, numbers)
        return self._last_numbers

    def _count(self, low: int, high: int) -> int:
        """Return the number of active ticks from *low* to before *high*."""
        if self._step > self._day and high - low < self._step * _FEW_TICKS:
            ticks = range(low + (self._base - low) % self._step, high, self._step)
            return sum(
                self._row[tick % self._day] and self._days.has(tick // self._day) for tick in ticks
            )
        first, begin = divmod(low, self._day)
        last, end = divmod(high, self._day)
        if first == last:
            return self._count_day(first, begin, end)
        number = self._count_day(first, begin, self._day) + self._count_day(last, 0, end)
        return number + self._count_days(first + 1, last)

    def _count_day(self, day: int, begin: int, end: int) -> int:
        """Return the number of active ticks of *day* from *begin* to before *end*, in units."""
        if begin >= end or not self._days.has(day):
            return 0
        first, step = self._first(day), self._step
        low, high = (max(-((first - edge) // step), 0) for edge in (begin, end))
        return self._row[first::step].count(1, low, high)

    def _count_days(self, low: int, high: int) -> int:
        """Return the number of active ticks on the days from *low* to before *high*."""
        if low >= high:
            return 0
        if self._repeat_days == 1:
            return self._days.count(low, high) * self._row[self._first(low) :: self._step].count(1)
        begin, numbers = self._numbers(low)
        if self._days.any_day and len(numbers) == self._repeat_days:
            repeats, rest = divmod(high - low, self._repeat_days)
            return repeats * sum(numbers) + sum(_repeated(numbers, low - begin, rest))
        number = 0
        for cycle in range((low - 1) // CYCLE_DAYS, (high - 2) // CYCLE_DAYS + 1):
            start, stop = _overlap(cycle, low, high)
            named = self._named(cycle, start, stop)
            if self._repeat_days <= _FEW_DAYS:
                period = _repeated(numbers, start - begin, self._repeat_days)
                parts = (
                    named[day :: self._repeat_days].count(1) for day in range(self._repeat_days)
                )
                number += sum(map(mul, period, parts))
            else:
                number += sum(compress(_repeated(numbers, start - begin, stop - start), named))
        return number


def _overlap(cycle: int, low: int, high: int) -> tuple[int, int]:
    """Return the range of the days of a cycle that are from *low* to before *high*."""
    begin = cycle * CYCLE_DAYS + 1
    return max(low, begin), min(high, begin + CYCLE_DAYS)


def _repeated(row: _Row, start: int, length: int) -> _Row:
    """Return *length* items from *start* of a row that repeats without end."""
    start %= len(row)
    if start + length <= len(row):
        return row[start : start + length]
    any_row: Any = row
    result: _Row = (any_row * ((start + length) // len(row) + 1))[start : start + length]
    return result


def _folded(row: bytes, step: int) -> Sequence[int]:
    """Return, for each remainder modulo *step*, the number of named times of day."""
    if len(row) > 255 * step:
        return [row[rest::step].count(1) for rest in range(step)]
    # Add the parts as integers: at most 255 of them, so no byte overflows.
    parts = (row[start : start + step] for start in range(0, len(row), step))
    return sum(int.from_bytes(part, "little") for part in parts).to_bytes(step, "little")


def times_of_day(parts: Parts) -> bytes:
    """Return one byte for each second of a day: 1 where a rule with these parts may occur.

    :param parts: completed.
    """
    return _row(parts, 1)


def _row(parts: Parts, unit: int) -> bytes:
    """Return one byte for each unit of a day: 1 where BYHOUR, BYMINUTE and BYSECOND allow it."""
    seconds = _chosen(parts.bysecond, 60, b"\1") if unit == 1 else b"\1"
    minutes = _chosen(parts.byminute, 60, seconds) if unit < 3600 else seconds
    return _chosen(parts.byhour, 24, minutes)


def _chosen(numbers: Sequence[int], count: int, row: bytes) -> bytes:
    """Return *count* copies of *row*, with zeros for those whose index is not in *numbers*.

    Empty *numbers* allow every index.
    """
    if not numbers:
        return row * count
    empty, chosen = bytes(len(row)), frozenset(numbers)
    return b"".join(row if number in chosen else empty for number in range(count))
