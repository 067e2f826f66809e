"""Computes when HOURLY, MINUTELY and SECONDLY rules occur, on a clock without a zone.

Pure; used by :mod:`.floating_rule` only. Such a rule ticks every INTERVAL units from DTSTART on; a
tick counts on a day and at a time of day that the rule names. The times of a day are a row of
bytes, and the ticks of a day are every INTERVAL-th of them, so that slices find and count them.
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

#: Days without a tick after which all days are worked out at once, if so many ticks are left.
_WALKED, _FEW_TICKS = 50, 2000
#: Days after which the ticks come round again, up to which each such day is counted by itself.
_FEW_DAYS = 100


class SubdailyRule:
    """The occurrences of a rule whose unit is an hour or less.

    :param parts: completed.
    :param start: DTSTART as a naive local time.
    :ivar most_a_day: an upper bound of the occurrences on one day.
    """

    def __init__(self, parts: Parts, start: datetime) -> None:
        self._unit = unit = UNIT_SECONDS[parts.freq]
        self._day = DAY_SECONDS // unit
        self._step = parts.interval
        self._base = ordinal_seconds(start) // unit
        self._days = parts.days
        self._row = _row(parts, unit)
        #: The days after which the ticks come at the same times of day again.
        self._round = self._step // gcd(self._step, self._day)
        within = Clock(
            (0,), parts.byminute if unit == 3600 else (0,), parts.bysecond if unit > 1 else (0,)
        )
        #: The occurrences of one tick, in seconds after it.
        self._within = [within.second_of(place) for place in parts.positions(within.size)]
        ticks = min(self._row.count(1), self._day // self._step + 1)
        self.most_a_day = ticks * len(self._within)
        self._turn: tuple[int, Sequence[int]] | None = None

    def times_from(self, at: datetime) -> Iterator[datetime]:
        """The occurrences at or after *at*, ascending."""
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
        """Count the occurrences from *low*, not before DTSTART, to before *high*."""
        begin, end = ordinal_seconds(low), ordinal_seconds(high)
        number = len(self._within) * self._count(begin // self._unit, end // self._unit)
        return number + self._into(end) - self._into(begin)

    def _into(self, seconds: int) -> int:
        """Count the occurrences of the tick at this time, up to this time."""
        tick, passed = divmod(seconds, self._unit)
        number = bisect_left(self._within, passed)
        return number * self._count(tick, tick + 1) if number else 0

    def _first(self, day: int) -> int:
        """Return the first tick of a day, counted from the day's begin; it may be after the day's
        end.
        """
        return (self._base - day * self._day) % self._step

    def _from(self, tick: int) -> Iterator[int]:
        """The ticks that count, from *tick* on."""
        day, begin = divmod(tick, self._day)
        step, walked = self._step, 0
        while True:
            named_day = self._days.next(day)
            if named_day is not None and walked > _WALKED and self._is_long(named_day):
                named_day = self._next_day(named_day)
            if named_day is None:
                return
            if named_day != day:
                day, begin = named_day, 0
            first = self._first(day)
            row = self._row[first::step]
            place = row.find(1, max(-((first - begin) // step), 0))
            while place >= 0:
                yield day * self._day + first + place * step
                walked = 0
                place = row.find(1, place + 1)
            day += (first + len(row) * step) // self._day
            begin, walked = 0, walked + 1

    def _is_long(self, day: int) -> bool:
        """Whether many ticks lie between a day and the end of the calendar."""
        return (LAST_DAY - day) * self._day > self._step * _FEW_TICKS

    def _next_day(self, day: int) -> int | None:
        """The first day from *day* on with a tick that counts."""
        begin, numbers = self._numbers(day)
        ticking = numbers if isinstance(numbers, bytes) else bytes(map(bool, numbers))
        if not any(ticking):
            return None
        for cycle in range((day - 1) // CYCLE_DAYS, (LAST_DAY - 1) // CYCLE_DAYS + 1):
            low, high = _overlap(cycle, day, LAST_DAY + 1)
            row = _turned(ticking, low - begin, high - low)
            both = int.from_bytes(row, "little") & int.from_bytes(
                self._named(cycle, low, high), "little"
            )
            if both:
                return low + lowest(both) // 8
        return None

    def _named(self, cycle: int, low: int, high: int) -> bytes:
        """A byte for each day of a cycle from *low* to before *high*, 1 for those named."""
        begin = cycle * CYCLE_DAYS + 1
        return self._days.cycle(cycle)[low - begin : high - begin]

    def _numbers(self, day: int) -> tuple[int, Sequence[int]]:
        """Count the ticks at a named time of day on each day, from a day not after *day* on, until
        they repeat or the calendar ends; return the counts and that day.
        """
        turn = self._turn
        if turn is not None and (turn[0] <= day or len(turn[1]) == self._round):
            return turn
        length, step = self._day, self._step
        days = min(self._round, LAST_DAY + 1 - day)
        numbers: Sequence[int]
        if step <= length:
            folded = _folded(self._row, step)
            base = self._base - day * length
            numbers = [folded[(base - passed) % step] for passed in range(0, days * length, length)]
        else:
            row, found = self._row, bytearray(days)
            ticks = range(self._first(day), days * length, step)
            for tick in compress(ticks, [row[tick % length] for tick in ticks]):
                found[tick // length] = 1
            numbers = bytes(found)
        self._turn = (day, numbers)
        return self._turn

    def _count(self, low: int, high: int) -> int:
        """How many ticks count from *low* to before *high*."""
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
        if begin >= end or not self._days.has(day):
            return 0
        first, step = self._first(day), self._step
        low, high = (max(-((first - edge) // step), 0) for edge in (begin, end))
        return self._row[first::step].count(1, low, high)

    def _count_days(self, low: int, high: int) -> int:
        """Count the ticks on the days from *low* to before *high*."""
        if low >= high:
            return 0
        if self._round == 1:
            return self._days.count(low, high) * self._row[self._first(low) :: self._step].count(1)
        begin, numbers = self._numbers(low)
        if self._days.any_day and len(numbers) == self._round:
            turns, rest = divmod(high - low, self._round)
            return turns * sum(numbers) + sum(_turned(numbers, low - begin, rest))
        number = 0
        for cycle in range((low - 1) // CYCLE_DAYS, (high - 2) // CYCLE_DAYS + 1):
            start, stop = _overlap(cycle, low, high)
            named = self._named(cycle, start, stop)
            if self._round <= _FEW_DAYS:
                turn = _turned(numbers, start - begin, self._round)
                parts = (named[day :: self._round].count(1) for day in range(self._round))
                number += sum(map(mul, turn, parts))
            else:
                number += sum(compress(_turned(numbers, start - begin, stop - start), named))
        return number


def _overlap(cycle: int, low: int, high: int) -> tuple[int, int]:
    """The days of a cycle that are from *low* to before *high*."""
    begin = cycle * CYCLE_DAYS + 1
    return max(low, begin), min(high, begin + CYCLE_DAYS)


def _turned(row: _Row, start: int, length: int) -> _Row:
    """Return this many items of a row that begins again at its end."""
    start %= len(row)
    if start + length <= len(row):
        return row[start : start + length]
    repeated: Any = row
    found: _Row = (repeated * ((start + length) // len(row) + 1))[start : start + length]
    return found


def _folded(row: bytes, step: int) -> Sequence[int]:
    """Count the named times of day for each remainder of a division by *step*."""
    if len(row) > 255 * step:
        return [row[rest::step].count(1) for rest in range(step)]
    # No byte overflows.
    parts = (row[start : start + step] for start in range(0, len(row), step))
    return sum(int.from_bytes(part, "little") for part in parts).to_bytes(step, "little")


def times_of_day(parts: Parts) -> bytes:
    """Return a byte for each second of a day, 1 for the seconds that a completed rule names."""
    return _row(parts, 1)


def _row(parts: Parts, unit: int) -> bytes:
    """Return a byte for each unit of a day, 1 for the units that BYHOUR, BYMINUTE and BYSECOND
    name.
    """
    seconds = _chosen(parts.bysecond, 60, b"\1") if unit == 1 else b"\1"
    minutes = _chosen(parts.byminute, 60, seconds) if unit < 3600 else seconds
    return _chosen(parts.byhour, 24, minutes)


def _chosen(numbers: Sequence[int], count: int, row: bytes) -> bytes:
    if not numbers:
        return row * count
    empty, chosen = bytes(len(row)), frozenset(numbers)
    return b"".join(row if number in chosen else empty for number in range(count))
