"""When a recurrence rule occurs in a time zone, with its COUNT and UNTIL.

Pure. DAILY and slower rules go by the clock on the wall of DTSTART's zone, HOURLY and finer
ones by elapsed time (see :mod:`redbeat_core.zones`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from .rrule_times import DAILY, DAY_SECONDS, UNIT_SECONDS, WEEKLY, Parts, Rule
from .zones import DEFAULT_DST, TICK, DstPolicy, elapsed, wall_clock


@dataclass(frozen=True)
class Recurrence:
    """A rule in a zone.

    :ivar dtstart: aware; its zone is the one in which the rule's hours are meant.
    :ivar until: aware, the last instant that may occur; None: for ever.
    """

    parts: Parts
    dtstart: datetime
    count: int | None = None
    until: datetime | None = None

    def after(self, moment: datetime, dst: DstPolicy = DEFAULT_DST) -> Iterator[datetime]:
        """The occurrences strictly after *moment* (aware), as UTC, ascending, none twice."""
        moment = moment.astimezone(UTC)
        start = self.dtstart.astimezone(UTC)
        if self.count is None:
            stream = self._stream(max(moment, start - TICK), dst)
        elif self.parts.plain:
            stream = self._stream(max(moment, start - TICK), dst, self._last_of_count())
        else:
            stream = self._counted(moment, start, dst)
        for instant in stream:
            if self.until is not None and instant > self.until:
                return
            yield instant

    def _stream(
        self, moment: datetime, dst: DstPolicy, last: datetime | None = None
    ) -> Iterator[datetime]:
        zone = self.dtstart.tzinfo or UTC
        walk = self._wall(zone, moment, dst) if self._by_wall else self._even(zone, moment)
        for instant in walk:
            if last is not None and instant > last:
                return
            yield instant

    @property
    def _by_wall(self) -> bool:
        return self.parts.freq <= DAILY

    def _wall(self, zone: tzinfo, moment: datetime, dst: DstPolicy) -> Iterator[datetime]:
        rule = _rule(self.parts, self.dtstart.replace(tzinfo=None, fold=0))
        return wall_clock(zone, moment, rule.times_from, dst)

    def _even(self, zone: tzinfo, moment: datetime) -> Iterator[datetime]:
        start = self.dtstart.astimezone(UTC)

        def local_from(local: datetime, offset: timedelta) -> Iterator[datetime]:
            return _rule(self.parts, (start + offset).replace(tzinfo=None)).times_from(local)

        return elapsed(zone, moment, local_from)

    def _counted(self, moment: datetime, start: datetime, dst: DstPolicy) -> Iterator[datetime]:
        for number, instant in enumerate(self._stream(start - TICK, dst)):
            if number >= (self.count or 0):
                return
            if instant > moment:
                yield instant

    def _last_of_count(self) -> datetime:
        """The COUNT-th occurrence of a plain rule, which needs no counting."""
        if not self.count:
            return datetime.min.replace(tzinfo=UTC)
        seconds = {WEEKLY: 7 * DAY_SECONDS, DAILY: DAY_SECONDS, **UNIT_SECONDS}
        span = (self.count - 1) * self.parts.interval * seconds[self.parts.freq]
        try:
            if not self._by_wall:
                return self.dtstart.astimezone(UTC) + timedelta(seconds=span)
            local = self.dtstart.replace(tzinfo=None) + timedelta(seconds=span)
            return local.replace(tzinfo=self.dtstart.tzinfo).astimezone(UTC)
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC)


@lru_cache(maxsize=4096)
def _rule(parts: Parts, start: datetime) -> Rule:
    return Rule(parts, start)
