"""Computes when a recurrence rule occurs in a time zone, with its COUNT and UNTIL.

Pure. DAILY and slower rules go by the wall clock of DTSTART's zone, HOURLY and finer ones by
elapsed time (see :mod:`.zones`). COUNT counts the times that the rule names, before the daylight-
saving policy changes them: it counts whole days at once, and each count continues from the last.
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

    :ivar dtstart: aware; the hours of the rule are in its zone.
    :ivar until: aware, the last instant that may occur; None: no end.
    """

    parts: Parts
    dtstart: datetime
    count: int | None = None
    until: datetime | None = None

    def after(self, moment: datetime, dst: DstPolicy = DEFAULT_DST) -> Iterator[datetime]:
        """Yield the occurrences strictly after *moment* (aware), in UTC, ascending, without
        duplicates.
        """
        moment, start = moment.astimezone(UTC), self.begin
        zone = self.dtstart.tzinfo or UTC
        moment = max(moment, start - TICK)
        if moment < start and self.dtstart.fold and self.by_wall and self._names_its_start():
            # DTSTART names the second pass of a repeated hour, whatever the policy for other times.
            if self.until is None or start <= self.until:
                yield start
            moment = start
        walk = self._wall(zone, moment, dst) if self.by_wall else self._even(zone, moment)
        for instant in walk:
            if self.until is not None and instant > self.until:
                return
            yield instant

    @property
    def begin(self) -> datetime:
        """DTSTART (UTC), or the time to which a DTSTART that the clock never showed is shifted."""
        zone = self.dtstart.tzinfo or UTC
        if self.by_wall and in_gap(local := self.dtstart.replace(tzinfo=None, fold=0), zone):
            return instants_of(local, zone)[0]
        return self.dtstart.astimezone(UTC)

    def _names_its_start(self) -> bool:
        """Whether DTSTART is of the second pass of a repeated hour, and a time of the rule."""
        local = self.dtstart.replace(tzinfo=None, fold=0)
        if not is_repeated(local, self.dtstart.tzinfo or UTC):
            return False
        return next(self.local_times(local), None) == local

    @property
    def by_wall(self) -> bool:
        """Whether the rule goes by the wall clock, and not by elapsed time."""
        return self.parts.freq <= DAILY

    def local_times(self, local: datetime) -> Iterator[datetime]:
        """The naive local times at or after *local*, ascending, of a rule by the wall; UNTIL is
        left to the caller."""
        rule = self._by_wall()
        if self.count is None:
            return rule.times_from(local)
        return islice(rule.times_from(local), max(self.count - rule.count_before(local), 0))

    def _wall(self, zone: tzinfo, moment: datetime, dst: DstPolicy) -> Iterator[datetime]:
        return wall_clock(zone, moment, self.local_times, dst)

    def _even(self, zone: tzinfo, moment: datetime) -> Iterator[datetime]:
        def local_from(local: datetime, offset: timedelta) -> Iterator[datetime]:
            return self._with(offset).times_from(local)

        runs = elapsed(zone, moment, local_from)
        if self.count is None:
            yield from runs
            return
        # So many are left whatever the count is, which may be asked for no more.
        days = (moment - self.dtstart.astimezone(UTC)).days + 2
        left = max(self.count - 2 * days * self._with(ZERO).most_a_day, 0)
        given = 0
        for run in islice(runs, left):
            given += 1
            yield run
        if given == left:
            left = self.count - self._number_before(moment + TICK, zone) - given
            yield from islice(runs, max(left, 0))

    def _with(self, offset: timedelta) -> Rule:
        """The rule on clocks that show this UTC offset all along."""
        return _rule(self.parts, (self.dtstart.astimezone(UTC) + offset).replace(tzinfo=None))

    def _number_before(self, instant: datetime, zone: tzinfo) -> int:
        """Count the runs on elapsed time before *instant* (UTC), up to COUNT."""
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
        # By the instant of DTSTART: two that a clock shows in the same hour, of which one is of its
        # second pass, are equal as local times.
        start = self.dtstart.astimezone(UTC)
        return _progress(self.parts, start, self.count, getattr(zone, "key", None) or repr(zone))

    def counted(self, moment: datetime) -> tuple[datetime, int]:
        """Return up to when COUNT was counted when that was asked for up to *moment* (aware), and
        the number of occurrences before: by the wall clock or in UTC, as the rule runs.
        """
        moment, zone = moment.astimezone(UTC), self.dtstart.tzinfo or UTC
        if self.by_wall:
            # Near a change of the clock the next runs are sought from up to a day before.
            local = moment.astimezone(zone).replace(tzinfo=None, fold=0) - DAY
            self._by_wall().count_before(local)
            return self._by_wall().progress.up_to(local)
        self._number_before(moment, zone)
        return self._progress(zone).up_to(moment)

    def restore_progress(self, at: datetime, number: int) -> bool:
        """Continue from what :meth:`counted` returned; False: that cannot belong to this rule."""
        start = self._by_wall().start if self.by_wall else self.dtstart.astimezone(UTC)
        if (at.tzinfo is None) is not self.by_wall or at < start or number < 0:
            return False
        if self.by_wall:
            self._by_wall().progress.note(at, number)
        else:
            self._progress(self.dtstart.tzinfo or UTC).note(at.astimezone(UTC), number)
        return True

    def _by_wall(self) -> Rule:
        return _rule(self.parts, self.dtstart.replace(tzinfo=None, fold=0))


@lru_cache(maxsize=4096)
def _progress(parts: Parts, start: datetime, count: int | None, zone: str) -> Progress:  # noqa: ARG001
    """The stored count of COUNT on elapsed time, from *start* (UTC)."""
    return Progress(start)


@lru_cache(maxsize=4096)
def _rule(parts: Parts, start: datetime) -> Rule:
    return Rule(parts, start)
