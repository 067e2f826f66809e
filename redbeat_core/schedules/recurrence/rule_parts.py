"""The parts of a recurrence rule (RFC 5545), and helpers for times of day.

Pure; all other modules of the recurrence engine use it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from .calendar_days import Days, Numbers, days_of

#: The frequencies, numbered as in dateutil.
YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY, MINUTELY, SECONDLY = range(7)
#: The length of one unit in seconds, for the frequencies below a day.
UNIT_SECONDS = {HOURLY: 3600, MINUTELY: 60, SECONDLY: 1}
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a rule in a normal form: sorted tuples, empty where a part is not given.

    :ivar freq: YEARLY (0) to SECONDLY (6).
    :ivar wkst: the first day of the week; Monday is 0.
    :ivar byweekday: pairs (weekday, n); n is 0 for every such weekday. Frequencies below MONTHLY
        have only 0.
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
        """Whether the rule is WEEKLY or finer without BY parts: its distance is constant."""
        return self.freq >= WEEKLY and self == Parts(self.freq, self.interval, self.wkst)

    @property
    def days(self) -> Days:
        """The days that the parts name; the parts must be completed."""
        return days_of(
            self.bymonth,
            self.bymonthday,
            self.byyearday,
            self.byeaster,
            self.byweekno,
            self.byweekday,
            self.wkst,
            self.freq == YEARLY and not self.bymonth,
        )

    def positions(self, size: int) -> Sequence[int]:
        """Return the positions (from 0) that BYSETPOS selects of *size* times, ascending.

        Without BYSETPOS: all positions.
        """
        if not self.bysetpos:
            return range(size)
        places = {pos - 1 if pos > 0 else size + pos for pos in self.bysetpos}
        return sorted(place for place in places if 0 <= place < size)


def completed(parts: Parts, start: datetime) -> Parts:
    """Return *parts* with the parts that RFC 5545 takes from DTSTART where they are not given."""
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


class Clock:
    """The times of day of a rule's hours, minutes and seconds, ascending.

    There may be 86,400 of them, so each is computed on access.

    :ivar size: the number of times of day.
    """

    def __init__(
        self, hours: Sequence[int], minutes: Sequence[int], seconds: Sequence[int]
    ) -> None:
        self._hours = hours
        self._minutes = minutes
        self._seconds = seconds
        self.size = len(hours) * len(minutes) * len(seconds)

    def second_of(self, place: int) -> int:
        """Return the time of day at index *place*, in seconds since midnight."""
        rest, second = divmod(place, len(self._seconds))
        hour, minute = divmod(rest, len(self._minutes))
        return self._hours[hour] * 3600 + self._minutes[minute] * 60 + self._seconds[second]

    def place_of(self, second: int) -> int:
        """Return the number of times of day before *second*, in seconds since midnight."""
        return bisect_left(range(self.size), second, key=self.second_of)


def ordinal_seconds(local: datetime) -> int:
    """Return *local* as whole seconds: its ordinal day times 86,400, plus the second of the day."""
    return local.toordinal() * DAY_SECONDS + second_of_day(local)


def second_of_day(local: datetime) -> int:
    """Return the time of day of *local*, in whole seconds since midnight."""
    return local.hour * 3600 + local.minute * 60 + local.second


def moment_of(seconds: int) -> datetime:
    """Return the naive local time of *seconds*; the inverse of :func:`ordinal_seconds`."""
    day, second = divmod(seconds, DAY_SECONDS)
    return datetime.fromordinal(day) + timedelta(seconds=second)
