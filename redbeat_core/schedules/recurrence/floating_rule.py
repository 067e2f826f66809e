"""Computes when a recurrence rule (RFC 5545) occurs, on a clock without a zone: seek, count,
bounded search.

Pure; :mod:`.zoned_rule` adds the zone. The semantics are those of ``dateutil.rrule``, with which
the tests compare, except for week numbers, where it gives some years one week too many and this
module follows the standard. dateutil itself has no seek (its cost grows with the age of the rule,
to minutes) and walks to the year 9999 for a rule that never matches.

Here the cost of seeking and counting does not depend on the number of occurrences before: see
:mod:`.daily_rules` and :mod:`.subdaily_rules`. A search ends at the end of the calendar, or as soon
as the days repeat, which is after 400 years.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

from .daily_rules import DailyRule
from .rule_parts import DAILY, Parts, completed
from .subdaily_rules import SubdailyRule

#: How many of the last counts are kept: questions about near and far times alternate.
_KEPT_COUNTS = 4
#: A time without occurrences that is worth keeping.
_LONG = timedelta(days=60)


class Progress:
    """Some times up to which the occurrences of a rule were counted, from which counting continues.

    :param start: DTSTART: no occurrence is before it.
    """

    def __init__(self, start: datetime) -> None:
        self._start = (start, 0)
        self._known: tuple[tuple[datetime, int], ...] = ()

    def up_to(self, at: datetime) -> tuple[datetime, int]:
        """Return the latest counted time that is not after *at*, or DTSTART, and the number of
        occurrences before it."""
        return max((pair for pair in self._known if pair[0] <= at), default=self._start)

    def note(self, at: datetime, number: int) -> None:
        """Keep the *number* of occurrences before *at*, which is not before DTSTART."""
        if (at, number) not in self._known:
            self._known = (*self._known[1 - _KEPT_COUNTS :], (at, number))


class Rule:
    """A rule on a clock without a zone.

    :param start: DTSTART as a naive local time; it completes the parts that the rule leaves open.
    """

    def __init__(self, parts: Parts, start: datetime) -> None:
        self.start = start
        made = DailyRule if parts.freq <= DAILY else SubdailyRule
        self._occurrences = made(completed(parts, start), start)
        #: From here on there is no occurrence.
        self._barren: datetime | None = None
        #: From the first to before the second there is no occurrence.
        self._gap = (start, start)
        self.progress = Progress(start)

    def times_from(self, at: datetime) -> Iterator[datetime]:
        """Yield the occurrences at or after *at*, ascending, without duplicates."""
        at = max(_whole(at), self.start)
        if self._barren is not None and at >= self._barren:
            return
        low, high = self._gap
        if low <= at < high:
            at = high
        walk = self._occurrences.times_from(at) if not at.microsecond else iter(())
        first = next(walk, None)
        if first is None:
            self._barren = at
            return
        if first - at > _LONG:
            self._gap = (at, first)
        yield first
        yield from walk

    @property
    def most_a_day(self) -> int:
        """An upper bound of the occurrences on one day."""
        return self._occurrences.most_a_day

    def count_before(self, at: datetime) -> int:
        """Count the occurrences before *at*, from the last count on."""
        if at <= self.start:
            return 0
        known, number = self.progress.up_to(at)
        number += self.count_between(known, at)
        self.progress.note(at, number)
        return number

    def count_between(self, low: datetime, high: datetime) -> int:
        """Count the occurrences from *low* to before *high*."""
        low, high = max(_whole(low), self.start), _whole(high)
        return self._occurrences.count_between(low, high) if low < high else 0


def _whole(at: datetime) -> datetime:
    """The next whole second, which is when there may be an occurrence; in the last one of the
    calendar, *at* itself."""
    if at.microsecond:
        with suppress(OverflowError):
            return at.replace(microsecond=0) + timedelta(seconds=1)
    return at
