"""The schedule types that are counted from a fixed time: ``once`` and ``anchored_interval``.

Pure. Only this project has them: celery-redbeat cannot read an entry that uses one.
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


def zoned(what: str, moment: datetime, tz: tzinfo | str | None) -> datetime:
    """Return *moment* in its zone, or in *tz* if it has none.

    :param what: its name in the error.
    :raises ValueError: it is no time, or has no zone, or is not within the calendar.
    """
    if not isinstance(moment, datetime):
        raise ValueError(f"{what} must be a datetime, not {type(moment).__name__}")
    if moment.utcoffset() is None:
        if tz is None:
            raise ValueError(
                f"{what} {moment} has no time zone: give tz='Europe/Berlin', or a datetime with one"
            )
        moment = moment.replace(tzinfo=find_zone(tz) if isinstance(tz, str) else tz)
    try:
        if 1 < moment.year < 9999 and moment.astimezone(UTC).year:
            return in_named_zone(moment)
    except OverflowError:
        pass
    raise ValueError(f"{what} {moment} is out of range: it must be in the years 2 to 9998")


def settled(moment: datetime) -> datetime:
    """Return *moment* (aware) as the clocks of its zone show it, also where they jump over it."""
    return moment.astimezone(UTC).astimezone(moment.tzinfo)


def zone_identity(moment: datetime) -> object:
    """Return what tells two zones apart: the name, or the offset where the zone has no name."""
    return iana_name(moment.tzinfo) or moment.utcoffset()


class once(OccurrenceSchedule):
    """A single run.

    :param at: when; a time that the clocks of its zone jump over is later by the gap.
    :param tz: the zone of an *at* that has none, or its name.
    :raises ValueError: *at* is no time, or has no zone.
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
        """Its run (UTC)."""
        return self.at.astimezone(UTC)

    def runs_after(self, moment: datetime, dst: DstPolicy = DEFAULT_DST) -> Iterator[datetime]:
        """Yield the run, if it is after *moment*."""
        if self.earliest > moment:
            yield self.earliest

    def _identity(self) -> tuple[object, ...]:
        return self.earliest, zone_identity(self.at)

    def __repr__(self) -> str:
        return f"<once: {self.at.isoformat(' ')}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return once_at, (self.__class__, self.at, self.nowfun)


def once_at(cls: type[once], at: datetime, nowfun: Callable[[], datetime] | None) -> once:
    """For pickle."""
    return cls(at, nowfun=nowfun)


class anchored_interval(OccurrenceSchedule, schedule):
    """An interval that is counted from a fixed moment, so that it keeps its phase for ever.

    A plain interval is counted from the last run. This is elapsed time: a day is 24 hours.

    :param run_every: seconds, or a timedelta, down to a microsecond.
    :param anchor: the first run.
    :param tz: the zone of an *anchor* that has none, or its name; it is for showing only.
    :raises ValueError: the interval is not positive, or *anchor* is no time.
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

    def runs_after(self, moment: datetime, dst: DstPolicy = DEFAULT_DST) -> Iterator[datetime]:
        """The runs strictly after *moment* (aware), as UTC, ascending."""
        start: datetime = self.earliest
        run = start + self.number(moment) * self.run_every
        while True:
            yield run
            run += self.run_every

    def number(self, moment: datetime) -> int:
        """Count the runs up to and including *moment* (aware)."""
        if moment < self.earliest:
            return 0
        passed: int = (moment - self.earliest) // self.run_every
        return passed + 1

    def _identity(self) -> tuple[object, ...]:
        return self.run_every, self.earliest, zone_identity(self.anchor)

    def __eq__(self, other: object) -> bool:
        # Celery's own interval compares the distance only.
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
    """For pickle."""
    return cls(run_every, anchor, nowfun=nowfun)
