"""When a recurrence rule (RFC 5545) occurs, on a clock without a zone: seek, bounded search.

Pure; :mod:`redbeat_core.zoned_rule` puts a rule into a zone. The semantics are those of
``dateutil.rrule``, which the tests compare with, but for the numbers of weeks, where it takes some
years to have one too many, and we go by the standard. dateutil itself has no seek (its cost grows
with the age of the rule, to minutes) and walks to the year 9999 for a rule that never matches.

Seek: the periods of a rule (its years, months, weeks, days, hours, ...) are numbered from the
one that holds DTSTART, and every INTERVAL-th counts, so the period at any time is a division
away. Bound: the Gregorian calendar repeats every 400 years, so a rule that has found nothing
in as many periods as that has, never will.
"""

from __future__ import annotations

import calendar
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from itertools import product
from math import gcd

from .rule_days import CYCLE_YEARS, LAST_DAY, Numbers, days_of

#: dateutil's numbers for the frequencies.
YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY, MINUTELY, SECONDLY = range(7)

#: Periods in 400 years, after which weekdays and leap years come round again.
_CYCLE = {YEARLY: 400, MONTHLY: 4_800, WEEKLY: 20_871, DAILY: 146_097}
#: The length of a tick, for the frequencies below a day.
UNIT_SECONDS = {HOURLY: 3600, MINUTELY: 60, SECONDLY: 1}
#: Jumps over hours, minutes and seconds that do not match, before a rule is given up.
_MAX_JUMPS = 20_000
#: Jumps in a row after which the ticks at an allowed time are computed and not searched for.
_SOLVED_AFTER = 1000
DAY_SECONDS = 86_400
#: A time without occurrences that is worth remembering.
_LONG = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a rule, in one normal form: sorted tuples, empty when not given.

    :ivar freq: dateutil's constant, YEARLY (0) to SECONDLY (6).
    :ivar wkst: first day of the week, Monday is 0.
    :ivar byweekday: (weekday, n); n is 0 for every such weekday, and below MONTHLY always.
    """

    freq: int
    interval: int = 1
    wkst: int = 0
    bysetpos: Numbers = ()
    bymonth: Numbers = ()
    bymonthday: Numbers = ()
    byyearday: Numbers = ()
    byeaster: Numbers = ()
    byweekno: Numbers = ()
    byweekday: tuple[tuple[int, int], ...] = ()
    byhour: Numbers = ()
    byminute: Numbers = ()
    bysecond: Numbers = ()

    @property
    def plain(self) -> bool:
        """No BY part at all: one occurrence a period, at an even distance below a month."""
        return self.freq >= WEEKLY and self == Parts(self.freq, self.interval, self.wkst)


class Rule:
    """A rule on a clock without a zone.

    :param start: DTSTART as a naive local time; what the parts leave open comes from it.
    """

    def __init__(self, parts: Parts, start: datetime) -> None:
        self.parts = parts = _completed(parts, start)
        self.start = start
        self.interval = parts.interval
        self._days = days_of(
            parts.bymonth,
            parts.bymonthday,
            parts.byyearday,
            parts.byeaster,
            parts.byweekno,
            parts.byweekday,
            parts.wkst,
            parts.freq == YEARLY and not parts.bymonth,
        )
        self._weekdays = frozenset(day for day, _ in parts.byweekday)
        #: From here on nothing was found.
        self._barren: datetime | None = None
        #: From the first to before the second nothing was found.
        self._gap = (start, start)
        self._clock = _clock(parts)
        #: Of the ticks until their times of day repeat, the numbers of those that match.
        self._on_time: array[int] | None = None

    def times_from(self, at: datetime) -> Iterator[datetime]:
        """The occurrences at or after *at*, ascending, none twice; ends when there are no more."""
        at = max(at, self.start)
        if self._barren is not None and at >= self._barren:
            return
        low, high = self._gap
        if low <= at < high:
            at = high
        found = None
        walk = self._by_day(at) if self.parts.freq <= DAILY else self._by_clock(at)
        for moment in walk:
            if moment >= at:
                if found is None and moment - at > _LONG:
                    self._gap = (at, moment)
                found = moment
                yield moment
        if found is None:
            self._barren = at

    def _by_day(self, at: datetime) -> Iterator[datetime]:
        if not self._has_positions():
            return
        empty = 0
        for days in self._periods(at):
            empty += 1
            if days:
                for moment in self._pick(days, at):
                    yield moment
                    empty = 0
            if empty > _CYCLE[self.parts.freq]:
                return

    def _has_positions(self) -> bool:
        """Whether a period is ever so full that BYSETPOS finds something."""
        if not self.parts.bysetpos:
            return True
        longest = {YEARLY: 366, MONTHLY: 31, WEEKLY: len(self._weekdays) or 7, DAILY: 1}
        size = longest[self.parts.freq] * len(self._clock)
        return min(map(abs, self.parts.bysetpos)) <= size

    def _pick(self, days: Sequence[int], at: datetime) -> Iterator[datetime]:
        clock = self._clock
        if self.parts.bysetpos:
            size = len(days) * len(clock)
            indexes = {pos - 1 if pos > 0 else size + pos for pos in self.parts.bysetpos}
            for index in sorted(index for index in indexes if 0 <= index < size):
                day, moment = divmod(index, len(clock))
                yield datetime.combine(date.fromordinal(days[day]), clock[moment])
            return
        first_day = at.toordinal()
        for ordinal in days[bisect_left(days, first_day) :]:
            skip = bisect_left(clock, at.time()) if ordinal == first_day else 0
            day_of_it = date.fromordinal(ordinal)
            for moment_of_day in clock[skip:] if skip else clock:
                yield datetime.combine(day_of_it, moment_of_day)

    def _periods(self, at: datetime) -> Iterator[Sequence[int]]:
        """The days (as ordinals) of each period from the one at or before *at*."""
        start, step = self.start.date(), self.interval
        if self.parts.freq == YEARLY:
            begin = start.year + (at.year - start.year) // step * step
            for year in range(begin, date.max.year + 1, step):
                first, table = self._days.of_year(year)
                yield [first + day for day in table]
        elif self.parts.freq == MONTHLY:
            month = start.year * 12 + start.month - 1
            begin = month + (at.year * 12 + at.month - 1 - month) // step * step
            for index in range(begin, (date.max.year + 1) * 12, step):
                yield self._of_month(index // 12, index % 12 + 1)
        elif self.parts.freq == WEEKLY:
            week = start.toordinal() - (start.weekday() - self.parts.wkst) % 7
            begin = week + (at.toordinal() - week) // (7 * step) * 7 * step
            for monday in range(begin, LAST_DAY - 6, 7 * step):
                # Like dateutil, the first week begins with DTSTART: it matters to BYSETPOS.
                yield self._days.within(max(monday, start.toordinal()), monday + 6)
        elif step % 7 or not self._weekdays or start.weekday() in self._weekdays:
            day, first = start.toordinal(), at.toordinal()
            if step < 366:
                days = (o for o in self._days.after(first) if (o - day) % step == 0)
            else:
                # There are fewer multiples of INTERVAL than days that match.
                walk = range(first + (day - first) % step, LAST_DAY + 1, step)
                days = (o for o in walk if self._days.any_day or self._days.within(o, o))
            yield from ((ordinal,) for ordinal in days)

    def _of_month(self, year: int, month: int) -> Sequence[int]:
        first, table = self._days.of_year(year)
        low = date(year, month, 1).toordinal() - first
        start = bisect_left(table, low)
        stop = bisect_left(table, low + calendar.monthrange(year, month)[1], start)
        return [first + day for day in table[start:stop]]

    def _by_clock(self, at: datetime) -> Iterator[datetime]:
        """HOURLY and finer: walk the ticks of the clock, and jump where nothing matches."""
        parts, unit = self.parts, UNIT_SECONDS[self.parts.freq]
        step = unit * self.interval
        base = ordinal_seconds(self.start) // unit * unit
        offsets = self._within(unit)
        if not offsets or not self._reachable(base, step):
            return
        hours = frozenset(parts.byhour)
        minutes = frozenset(parts.byminute) if unit <= 60 else frozenset()
        seconds = frozenset(parts.bysecond) if unit == 1 else frozenset()
        earliest = ordinal_seconds(at) // unit * unit
        matching_day, jumps = -1, 0
        while jumps < _MAX_JUMPS:
            number = -((base - earliest) // step)
            if jumps > _SOLVED_AFTER:
                number = self._next_on_time(number, base // unit, step // unit)
            tick = base + number * step
            day, second = divmod(tick, DAY_SECONDS)
            if day > LAST_DAY:
                return
            if day != matching_day:
                found = self._matching_day(day)
                if found is None:
                    return
                matching_day = found
            jumps += 1
            hour, minute = second // 3600, second // 60 % 60
            if day != matching_day:
                earliest = matching_day * DAY_SECONDS
            elif hours and hour not in hours:
                earliest = (second // 3600 + 1) * 3600 + day * DAY_SECONDS
            elif minutes and minute not in minutes:
                earliest = (second // 60 + 1) * 60 + day * DAY_SECONDS
            elif seconds and second % 60 not in seconds:
                earliest = tick + _wait(parts.bysecond, second % 60)
            else:
                moment = datetime.combine(date.fromordinal(day), time(hour, minute, second % 60))
                for offset in offsets:
                    yield moment + offset
                    jumps = 0
                earliest = tick + 1

    def _next_on_time(self, number: int, base: int, step: int) -> int:
        """The number of the first tick from *number* on that comes at an allowed time of day.

        The time of day of the ticks walks round by a fixed distance, so that for each allowed
        time the numbers of its ticks are the solution of a congruence.

        :param base: DTSTART, in hours, minutes or seconds, as the frequency is.
        :param step: the distance of the ticks, likewise.
        """
        parts, unit = self.parts, UNIT_SECONDS[self.parts.freq]
        day = DAY_SECONDS // unit
        common = gcd(step, day)
        cycle = day // common
        if self._on_time is None:
            inverse = pow(step // common, -1, cycle)
            hours = parts.byhour or range(24)
            minutes = (parts.byminute or range(60)) if unit <= 60 else (0,)
            seconds = (parts.bysecond or range(60)) if unit == 1 else (0,)
            distances = (
                (hour * 3600 + minute * 60 + second) // unit - base
                for hour, minute, second in product(hours, minutes, seconds)
            )
            solved = (d // common * inverse % cycle for d in distances if d % common == 0)
            self._on_time = array("I", sorted(solved))
        known, turn = self._on_time, number // cycle * cycle
        at = bisect_left(known, number - turn)
        return turn + (known[at] if at < len(known) else cycle + known[0])

    def _matching_day(self, ordinal: int) -> int | None:
        if self._days.any_day:
            return ordinal
        return next(self._days.after(ordinal, CYCLE_YEARS), None)

    def _within(self, unit: int) -> list[timedelta]:
        """The occurrences of one tick, as distances from it."""
        parts = self.parts
        minutes = parts.byminute if unit == 3600 else (0,)
        seconds = parts.bysecond if unit >= 60 else (0,)
        offsets = [timedelta(minutes=m, seconds=s) for m, s in product(minutes, seconds)]
        if not parts.bysetpos:
            return offsets
        size = len(offsets)
        indexes = {pos - 1 if pos > 0 else size + pos for pos in parts.bysetpos}
        return [offsets[index] for index in sorted(indexes) if 0 <= index < size]

    def _reachable(self, base: int, step: int) -> bool:
        """Whether the steps ever land on an allowed time of an allowed weekday.

        All ticks are congruent to DTSTART modulo gcd(step, a week): a step of two minutes from
        an even minute never comes to an odd one.
        """
        parts, unit = self.parts, UNIT_SECONDS[self.parts.freq]
        common = gcd(step, 7 * DAY_SECONDS)
        rest = base % common
        # Day 1 of the calendar, as `base` counts, was a Monday.
        days = [day + 1 for day in self._weekdays] or range(7)
        hours = parts.byhour or range(24)
        minutes = (parts.byminute or range(60)) if unit <= 60 else (0,)
        seconds = (parts.bysecond or range(60)) if unit == 1 else (0,)
        return any(
            (day * DAY_SECONDS + hour * 3600 + minute * 60 + second) % common == rest
            for day, hour, minute, second in product(days, hours, minutes, seconds)
        )


def _completed(parts: Parts, start: datetime) -> Parts:
    """*parts* with what RFC 5545 takes from DTSTART when it is not given."""
    freq = parts.freq
    names_days = (
        parts.byweekno or parts.byyearday or parts.bymonthday or parts.byweekday or parts.byeaster
    )
    if not names_days:
        if freq == YEARLY:
            month = parts.bymonth or (start.month,)
            parts = replace(parts, bymonth=month, bymonthday=(start.day,))
        elif freq == MONTHLY:
            parts = replace(parts, bymonthday=(start.day,))
        elif freq == WEEKLY:
            parts = replace(parts, byweekday=((start.weekday(), 0),))
    return replace(
        parts,
        byhour=parts.byhour or ((start.hour,) if freq < HOURLY else ()),
        byminute=parts.byminute or ((start.minute,) if freq < MINUTELY else ()),
        bysecond=parts.bysecond or ((start.second,) if freq < SECONDLY else ()),
    )


def _clock(parts: Parts) -> tuple[time, ...]:
    if parts.freq > DAILY:
        return ()
    return tuple(time(*hms) for hms in product(parts.byhour, parts.byminute, parts.bysecond))


def ordinal_seconds(local: datetime) -> int:
    """Whole seconds of *local* since a fixed day."""
    return local.toordinal() * DAY_SECONDS + second_of_day(local)


def second_of_day(local: datetime) -> int:
    """The second of the day."""
    return local.hour * 3600 + local.minute * 60 + local.second


def _wait(allowed: Sequence[int], now: int) -> int:
    """Seconds from the second *now* of a minute to the next of *allowed*."""
    later = bisect_left(allowed, now)
    return allowed[later] - now if later < len(allowed) else 60 - now + allowed[0]
