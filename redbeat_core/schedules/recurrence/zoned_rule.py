"""Computes the occurrences of a recurrence rule in a time zone, with its COUNT and UNTIL.

Pure. DAILY and slower rules follow the local time of DTSTART's zone, HOURLY and finer rules follow
elapsed time (see :mod:`.zones`). COUNT counts the times that the rule names, before the DST policy
shifts, skips or repeats them. Whole days are counted at once, not one occurrence at a time, and
each count continues from the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import islice

from .dst import elapsed, wall_clock
from .floating_rule import Progress, Rule
from .rule_parts import DAILY, UNIT_SECONDS, Parts
from .zones import (
    DAY,
    DEFAULT_DST,
    TICK,
    ZERO,
    DstPolicy,
    in_gap,
    instants_of,
    is_repeated,
    next_change,
    offset_at,
)


@dataclass(frozen=True)
class Recurrence:
    """A rule in a zone.

    :ivar dtstart: aware; the hours of the rule are local times of its zone.
    :ivar count: the number of occurrences; None: no limit.
    :ivar until: aware, the last instant at which the rule may occur; None: no limit.
    """

    parts: Parts
    dtstart: datetime
    count: int | None = None
    until: datetime | None = None

    def after(self, after: datetime, dst: DstPolicy = DEFAULT_DST) -> Iterator[datetime]:
        """Yield the occurrences strictly after *after* (aware), in UTC, ascending, each once."""
        start = self.begin
        zone = self.dtstart.tzinfo or UTC
        after = max(after.astimezone(UTC), start - TICK)
        if after < start and self.dtstart.fold and self.by_wall and self._names_its_start():
            # DTSTART names the second pass of a repeated hour (fold=1): the first run is in that
            # pass, even where the policy puts the other runs in the first pass.
            if self.until is None or start <= self.until:
                yield start
            after = start
        instants = (
            self._by_local_time(zone, after, dst) if self.by_wall else self._by_elapsed(zone, after)
        )
        for instant in instants:
            if self.until is not None and instant > self.until:
                return
            yield instant

    @property
    def begin(self) -> datetime:
        """DTSTART (UTC); where it lies in a DST gap, the instant to which it is shifted."""
        zone = self.dtstart.tzinfo or UTC
        if self.by_wall and in_gap(local := self.dtstart.replace(tzinfo=None, fold=0), zone):
            return instants_of(local, zone)[0]
        return self.dtstart.astimezone(UTC)

    def _names_its_start(self) -> bool:
        """Whether DTSTART is a repeated local time and an occurrence of the rule."""
        local = self.dtstart.replace(tzinfo=None, fold=0)
        if not is_repeated(local, self.dtstart.tzinfo or UTC):
            return False
        return next(self.local_times(local), None) == local

    @property
    def by_wall(self) -> bool:
        """Whether the rule follows the local time of its zone, and not elapsed time."""
        return self.parts.freq <= DAILY

    def local_times(self, local: datetime) -> Iterator[datetime]:
        """Yield the naive local times at or after *local*, ascending, of a rule on local time.

        Applies COUNT; the caller applies UNTIL.
        """
        rule = self._local_rule()
        if self.count is None:
            return rule.times_from(local)
        return islice(rule.times_from(local), max(self.count - rule.count_before(local), 0))

    def _by_local_time(self, zone: tzinfo, after: datetime, dst: DstPolicy) -> Iterator[datetime]:
        return wall_clock(zone, after, self.local_times, dst)

    def _by_elapsed(self, zone: tzinfo, after: datetime) -> Iterator[datetime]:
        def local_from(local: datetime, offset: timedelta) -> Iterator[datetime]:
            return self._with(offset).times_from(local)

        runs = elapsed(zone, after, local_from)
        if self.count is None:
            yield from runs
            return
        # At least this many runs remain. Yield them before counting: the caller may stop earlier,
        # and then the past occurrences need not be counted.
        days = (after - self.dtstart.astimezone(UTC)).days + 2
        remaining = max(self.count - 2 * days * self._with(ZERO).most_a_day, 0)
        yielded = 0
        for run in islice(runs, remaining):
            yielded += 1
            yield run
        if yielded == remaining:
            remaining = self.count - self._number_before(after + TICK, zone) - yielded
            yield from islice(runs, max(remaining, 0))

    def _with(self, offset: timedelta) -> Rule:
        """Return the rule in the local time of a constant UTC offset."""
        return _rule(self.parts, (self.dtstart.astimezone(UTC) + offset).replace(tzinfo=None))

    def _number_before(self, instant: datetime, zone: tzinfo) -> int:
        """Return the number of runs on elapsed time before *instant* (UTC), up to COUNT."""
        start = self.dtstart.astimezone(UTC)
        if self.parts.plain:
            step = self.parts.interval * UNIT_SECONDS[self.parts.freq]
            number = max(-((start - instant) // timedelta(seconds=step)), 0)
            if number:
                self._progress(zone).note(instant, number)
            return number
        if instant <= start:
            return 0
        progress = self._progress(zone)
        at, number = progress.up_to(instant)
        while at < instant and number < (self.count or 0):
            offset = offset_at(at, zone)
            change = next_change(zone, at, instant) or instant
            low, high = ((edge + offset).replace(tzinfo=None) for edge in (at, change))
            number += self._with(offset).count_between(low, high)
            at = change
        progress.note(at, number)
        return number

    def _progress(self, zone: tzinfo) -> Progress:
        # Use the instant of DTSTART as the key: the two passes of a repeated hour are equal as
        # local times.
        start = self.dtstart.astimezone(UTC)
        return _progress(self.parts, start, self.count, getattr(zone, "key", None) or repr(zone))

    def counted(self, instant: datetime) -> tuple[datetime, int]:
        """Count the occurrences up to *instant* (aware), and return the last saved count.

        :returns: the time of the count, naive local time for a rule on local time, else UTC; and
            the number of occurrences before it.
        """
        instant = instant.astimezone(UTC)
        zone = self.dtstart.tzinfo or UTC
        if self.by_wall:
            # Near a clock change the search for the next run starts up to one day earlier.
            local = instant.astimezone(zone).replace(tzinfo=None, fold=0) - DAY
            self._local_rule().count_before(local)
            return self._local_rule().progress.up_to(local)
        self._number_before(instant, zone)
        return self._progress(zone).up_to(instant)

    def restore_progress(self, at: datetime, number: int) -> bool:
        """Continue counting from a result of :meth:`counted`.

        :returns: False where the values cannot belong to this rule.
        """
        start = self._local_rule().start if self.by_wall else self.dtstart.astimezone(UTC)
        if (at.tzinfo is None) is not self.by_wall or at < start or number < 0:
            return False
        if self.by_wall:
            self._local_rule().progress.note(at, number)
        else:
            self._progress(self.dtstart.tzinfo or UTC).note(at.astimezone(UTC), number)
        return True

    def _local_rule(self) -> Rule:
        return _rule(self.parts, self.dtstart.replace(tzinfo=None, fold=0))


@lru_cache(maxsize=4096)
def _progress(parts: Parts, start: datetime, count: int | None, zone: str) -> Progress:  # noqa: ARG001
    """Return the shared progress of a rule on elapsed time, counted from *start* (UTC)."""
    return Progress(start)


@lru_cache(maxsize=4096)
def _rule(parts: Parts, start: datetime) -> Rule:
    return Rule(parts, start)
