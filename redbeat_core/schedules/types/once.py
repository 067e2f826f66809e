"""The schedule types with a fixed instant: ``once`` and ``anchored_interval``.

Pure. celery-redbeat has neither type and cannot read an entry that uses one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from celery import Celery
from celery.schedules import schedule

from redbeat_core.schedules.recurrence.zones import (
    DEFAULT_DST,
    DstPolicy,
    find_zone,
    iana_name,
    in_named_zone,
)

from .base import OccurrenceSchedule


def zoned(what: str, value: datetime, tz: tzinfo | str | None) -> datetime:
    """Return *value* in its named zone; a naive one gets the zone *tz*.

    :param what: the name of *value* in an error message.
    :raises ValueError: *value* is not a datetime, has no zone, or is out of range.
    """
    if not isinstance(value, datetime):
        raise ValueError(f"{what} must be a datetime, not {type(value).__name__}")
    if value.utcoffset() is None:
        if tz is None:
            raise ValueError(
                f"{what} {value} has no time zone: give tz='Europe/Berlin', or a datetime with one"
            )
        value = value.replace(tzinfo=find_zone(tz) if isinstance(tz, str) else tz)
    try:
        if 1 < value.year < 9999 and value.astimezone(UTC).year:
            return in_named_zone(value)
    except OverflowError:
        pass
    raise ValueError(f"{what} {value} is out of range: it must be in the years 2 to 9998")


def settled(value: datetime) -> datetime:
    """Return *value* (aware) with a local time that exists in its zone.

    A time in a DST gap is shifted forward by the length of the gap.
    """
    return value.astimezone(UTC).astimezone(value.tzinfo)


def zone_identity(value: datetime) -> object:
    """Return the key by which the zones of two datetimes are equal: the IANA name or the offset."""
    return iana_name(value.tzinfo) or value.utcoffset()


class once(OccurrenceSchedule):
    """A single run.

    :param at: when to run; a local time in a DST gap is shifted forward by the length of the gap.
    :param tz: the zone of a naive *at*, or its IANA name.
    :raises ValueError: *at* is not a datetime, has no zone, or is out of range.
    """

    def __init__(
        self,
        at: datetime,
        tz: tzinfo | str | None = None,
        *,
        nowfun: Callable[[], datetime] | None = None,
        app: Celery | None = None,
    ) -> None:
        super().__init__(nowfun=nowfun, app=app)
        self.at = settled(zoned("at", at, tz))

    @property
    def earliest(self) -> datetime:
        """The instant of the run (UTC)."""
        return self.at.astimezone(UTC)

    def runs_after(self, after: datetime, dst: DstPolicy = DEFAULT_DST) -> Iterator[datetime]:
        """Yield the run (UTC) if it is after *after*."""
        if self.earliest > after:
            yield self.earliest

    def _identity(self) -> tuple[object, ...]:
        return self.earliest, zone_identity(self.at)

    def __repr__(self) -> str:
        return f"<once: {self.at.isoformat(' ')}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return once_at, (self.__class__, self.at, self.nowfun)


def once_at(cls: type[once], at: datetime, nowfun: Callable[[], datetime] | None) -> once:
    """Rebuild a pickled schedule."""
    return cls(at, nowfun=nowfun)


class anchored_interval(OccurrenceSchedule, schedule):
    """An interval that is counted from a fixed instant, so that it always keeps its phase.

    A plain interval is counted from the last run. Both count elapsed time: a day is 24 hours.

    :param run_every: seconds, or a timedelta, down to a microsecond.
    :param anchor: the first run.
    :param tz: the zone of a naive *anchor*, or its IANA name; the interval is displayed in this
        zone, its length does not depend on it.
    :raises ValueError: the interval is not positive, or *anchor* is not a datetime, has no zone,
        or is out of range.
    """

    def __init__(
        self,
        run_every: float | timedelta,
        anchor: datetime,
        tz: tzinfo | str | None = None,
        *,
        nowfun: Callable[[], datetime] | None = None,
        app: Celery | None = None,
    ) -> None:
        schedule.__init__(self, run_every, nowfun=nowfun, app=app)
        if not isinstance(self.run_every, timedelta) or self.run_every <= timedelta(0):
            raise ValueError("an interval must be more than 0 seconds")
        self.anchor = settled(zoned("anchor", anchor, tz))

    @property
    def earliest(self) -> datetime:
        """The anchor (UTC)."""
        return self.anchor.astimezone(UTC)

    def runs_after(self, after: datetime, dst: DstPolicy = DEFAULT_DST) -> Iterator[datetime]:
        """Yield the runs strictly after *after* (aware), in UTC, ascending."""
        start: datetime = self.earliest
        run = start + self.number(after) * self.run_every
        while True:
            yield run
            run += self.run_every

    def number(self, until: datetime) -> int:
        """Return the number of runs up to and including *until* (aware)."""
        if until < self.earliest:
            return 0
        passed: int = (until - self.earliest) // self.run_every
        return passed + 1

    def _identity(self) -> tuple[object, ...]:
        return self.run_every, self.earliest, zone_identity(self.anchor)

    def __eq__(self, other: object) -> bool:
        # Celery's own interval compares the length only.
        return isinstance(other, anchored_interval) and self._identity() == other._identity()

    __hash__ = OccurrenceSchedule.__hash__

    def __repr__(self) -> str:
        return f"<freq: {self.human_seconds} from {self.anchor.isoformat(' ')}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return interval_from, (self.__class__, self.run_every, self.anchor, self.nowfun)


def interval_from(
    cls: type[anchored_interval],
    run_every: timedelta,
    anchor: datetime,
    nowfun: Callable[[], datetime] | None,
) -> anchored_interval:
    """Rebuild a pickled schedule."""
    return cls(run_every, anchor, nowfun=nowfun)
