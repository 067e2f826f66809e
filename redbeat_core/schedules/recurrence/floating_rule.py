"""Computes the occurrences of a recurrence rule (RFC 5545) in naive local time.

Pure; :mod:`.zoned_rule` applies a time zone. The semantics are those of ``dateutil.rrule``, which
the tests compare with. The exception is week numbers: dateutil gives some years one week too many,
this module follows the standard. dateutil itself has no seek (its cost grows with the age of the
rule, up to minutes) and walks to the year 9999 for a rule that never matches.

Here the cost of seeking and counting does not depend on the number of past occurrences: see
:mod:`.daily_rules` and :mod:`.subdaily_rules`. A search ends at the end of the calendar, or
earlier, after one full cycle: the days of all rules repeat every 400 years.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

from .daily_rules import DailyRule
from .rule_parts import DAILY, Parts, completed
from .subdaily_rules import SubdailyRule

#: A period without occurrences is saved only if it is longer than this.
_LONG = timedelta(days=60)
#: The number of saved counts: callers that look far ahead must not displace those of the others.
_SAVED_COUNTS = 4


class Progress:
    """Instants up to which the occurrences of a rule were counted, so that a count continues there.

    :param start: DTSTART; the rule has no occurrence before it.
    """

    def __init__(self, start: datetime) -> None:
        self._start = (start, 0)
        self._counts: tuple[tuple[datetime, int], ...] = ()

    def up_to(self, at: datetime) -> tuple[datetime, int]:
        """Return the latest saved instant not after *at*, and the number of occurrences before it.

        Without such an instant: DTSTART and 0.
        """
        return max((count for count in self._counts if count[0] <= at), default=self._start)

    def note(self, at: datetime, number: int) -> None:
        """Save that the rule has *number* occurrences before *at*, which is not before DTSTART."""
        if (at, number) not in self._counts:
            self._counts = (*self._counts[1 - _SAVED_COUNTS :], (at, number))


class Rule:
    """A rule in naive local time.

    :param start: DTSTART as a naive local time; it supplies the parts that the rule does not give.
    """

    def __init__(self, parts: Parts, start: datetime) -> None:
        self.start = start
        kind = DailyRule if parts.freq <= DAILY else SubdailyRule
        self._occurrences = kind(completed(parts, start), start)
        #: The rule has no occurrence at or after this instant; None: not known yet.
        self._ends_at: datetime | None = None
        #: The rule has no occurrence from the first instant to before the second.
        self._empty_period = (start, start)
        self.progress = Progress(start)

    def times_from(self, at: datetime) -> Iterator[datetime]:
        """Yield the occurrences at or after *at*, ascending, each once."""
        at = max(_whole(at), self.start)
        if self._ends_at is not None and at >= self._ends_at:
            return
        low, high = self._empty_period
        if low <= at < high:
            at = high
        walk = self._occurrences.times_from(at) if not at.microsecond else iter(())
        first = next(walk, None)
        if first is None:
            self._ends_at = at
            return
        if first - at > _LONG:
            self._empty_period = (at, first)
        yield first
        yield from walk

    @property
    def most_a_day(self) -> int:
        """An upper limit for the number of occurrences in one day."""
        return self._occurrences.most_a_day

    def count_before(self, at: datetime) -> int:
        """Return the number of occurrences before *at*; continue from the last saved count."""
        if at <= self.start:
            return 0
        counted_to, number = self.progress.up_to(at)
        number += self.count_between(counted_to, at)
        self.progress.note(at, number)
        return number

    def count_between(self, low: datetime, high: datetime) -> int:
        """Return the number of occurrences from *low* to before *high*."""
        low, high = max(_whole(low), self.start), _whole(high)
        return self._occurrences.count_between(low, high) if low < high else 0


def _whole(at: datetime) -> datetime:
    """Return *at* rounded up to a whole second; in the last second of the calendar, *at* itself.

    Occurrences are on whole seconds only.
    """
    if at.microsecond:
        with suppress(OverflowError):
            return at.replace(microsecond=0) + timedelta(seconds=1)
    return at
