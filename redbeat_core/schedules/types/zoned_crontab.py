"""The schedule type ``zoned_crontab``: a crontab with its own time zone.

Pure. Celery's crontab runs in the app's zone. celery-redbeat has no such type and cannot read an
entry that uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Any

from celery.schedules import crontab

from redbeat_core.schedules.recurrence.crontab import crontab_after
from redbeat_core.schedules.recurrence.zones import (
    DEFAULT_DST,
    ZERO,
    DstPolicy,
    find_zone,
    iana_name,
    named_zone,
)

from .base import OccurrenceSchedule

#: Celery's arguments, in its order.
CRONTAB_FIELDS = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")


class zoned_crontab(OccurrenceSchedule, crontab):
    """A crontab in its own time zone, independent of the app's zone.

    :param tz: the zone or its IANA name.
    :raises ValueError: the zone does not exist or has no name, or Celery rejects a field.
    """

    def __init__(
        self,
        minute: Any = "*",
        hour: Any = "*",
        day_of_week: Any = "*",
        day_of_month: Any = "*",
        month_of_year: Any = "*",
        *,
        tz: tzinfo | str,
        **options: Any,
    ) -> None:
        zone = find_zone(tz) if isinstance(tz, str) else named_zone(tz)
        self.zone = getattr(zone, "key", None) or iana_name(zone)
        if not isinstance(self.zone, str):
            name = "UTC" if zone.utcoffset(None) == ZERO else None
            if name is None:
                raise ValueError("a crontab's zone must have a name, as in tz='Europe/Berlin'")
            self.zone = name
        crontab.__init__(self, minute, hour, day_of_week, day_of_month, month_of_year, **options)

    @property
    def tz(self) -> tzinfo:
        """The zone of this crontab, instead of the app's zone."""
        return find_zone(self.zone)

    def runs_after(self, after: datetime, dst: DstPolicy = DEFAULT_DST) -> Iterator[datetime]:
        """Yield the runs strictly after *after* (aware), in UTC, ascending, each once."""
        return crontab_after(self, after, dst)

    def _identity(self) -> tuple[object, ...]:
        return (self.zone, *(frozenset(getattr(self, name)) for name in CRONTAB_FIELDS))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, zoned_crontab) and self._identity() == other._identity()

    __hash__ = OccurrenceSchedule.__hash__

    def __repr__(self) -> str:
        return f"{crontab.__repr__(self)[:-1]} {self.zone}>"

    def __reduce__(self) -> tuple[Any, ...]:
        fields = [getattr(self, f"_orig_{name}") for name in CRONTAB_FIELDS]
        return in_zone, (self.__class__, fields, self.zone, self.nowfun)


def in_zone(cls: type[zoned_crontab], fields: list[Any], tz: str, nowfun: Any) -> zoned_crontab:
    """Rebuild a pickled schedule."""
    return cls(*fields, tz=tz, nowfun=nowfun)
