"""The schedule of the sun: ``solar``, Celery's type, with repeatable times.

Pure. ``ephem`` computes the times; ``redbeat-tui[solar]`` installs it. Celery asks it for "the next
event after a time", and the answer depends on that time by fractions of a second, so the run that
was just made may be returned once more. Here each event is computed from a fixed grid of half days,
so it always has the same time, to the second.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import import_module
from typing import Any

from celery import Celery
from celery.schedules import solar as celery_solar

from redbeat_core.schedules.recurrence.zones import DEFAULT_DST, DstPolicy

from .base import OccurrenceSchedule

#: Each event: how far below the horizon the sun is then, what it does, and whether its centre
#: counts and not its upper limb. As Celery has them.
EVENTS = {
    "dawn_astronomical": ("-18", "next_rising", True),
    "dawn_nautical": ("-12", "next_rising", True),
    "dawn_civil": ("-6", "next_rising", True),
    "sunrise": ("-0:34", "next_rising", False),
    "solar_noon": ("0", "next_transit", False),
    "sunset": ("-0:34", "next_setting", False),
    "dusk_civil": ("-6", "next_setting", True),
    "dusk_nautical": ("-12", "next_setting", True),
    "dusk_astronomical": ("-18", "next_setting", True),
}
NOT_INSTALLED = (
    "a schedule of the sun needs the package ephem, which is not installed: "
    "pip install 'redbeat-tui[solar]'"
)
#: An event that does not come within so many half days (400 days) never comes.
_LONGEST = 800
_HALF_DAY = timedelta(hours=12)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SolarUnavailableError(ValueError):
    """The package that computes the sun's position is not installed."""


def check_solar(event: str, lat: float, lon: float) -> None:
    """Check that such a schedule can exist: not at a pole, where ephem may search without end.

    :raises SolarUnavailableError: ephem is not installed.
    :raises ValueError: no such event or place, with what would be right.
    """
    if not isinstance(event, str) or event not in EVENTS:
        raise ValueError(f"event {event!r} is none of {', '.join(EVENTS)}")
    for name, value, limit in (("lat", lat, 89.9), ("lon", lon, 180)):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not -limit <= value <= limit:
            raise ValueError(f"{name} {value!r} is not within -{limit} to {limit} degrees")
    _ephem()


@lru_cache(maxsize=1)
def _ephem() -> Any:
    try:
        module = import_module("ephem")
    except ImportError:
        raise SolarUnavailableError(NOT_INSTALLED) from None
    version = str(getattr(module, "__version__", "0"))
    if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) < (4, 2):
        raise SolarUnavailableError(
            f"ephem {version} may search for ever where the sun does not set: "
            "pip install 'ephem>=4.2'"
        )
    return module


class solar(OccurrenceSchedule, celery_solar):
    """An event of the sun at a place, as Celery's ``solar``.

    :param event: one of :data:`EVENTS`.
    :param lat: degrees, north is positive.
    :param lon: degrees, east is positive.
    :raises SolarUnavailableError: ephem is not installed.
    :raises ValueError: no such event or place.
    """

    def __init__(
        self,
        event: str,
        lat: float,
        lon: float,
        *,
        nowfun: Callable[[], datetime] | None = None,
        app: Celery | None = None,
    ) -> None:
        check_solar(event, lat, lon)
        celery_solar.__init__(self, event, lat, lon, nowfun=nowfun, app=app)

    def runs_after(self, moment: datetime, dst: DstPolicy = DEFAULT_DST) -> Iterator[datetime]:
        """The events strictly after *moment* (aware), as UTC, ascending."""
        return solar_after(self, moment)

    def _identity(self) -> tuple[object, ...]:
        return self.event, self.lat, self.lon

    def __eq__(self, other: object) -> bool:
        if isinstance(other, celery_solar):
            return self._identity() == (other.event, other.lat, other.lon)
        return NotImplemented

    __hash__ = OccurrenceSchedule.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt_solar, (self.__class__, *self._identity(), self.nowfun)


def rebuilt_solar(cls: type[solar], event: str, lat: float, lon: float, nowfun: Any) -> solar:
    """For pickle."""
    return cls(event, lat, lon, nowfun=nowfun)


def solar_after(schedule: celery_solar, moment: datetime) -> Iterator[datetime]:
    """The events of *schedule* strictly after *moment* (aware), as UTC, ascending."""
    check_solar(schedule.event, schedule.lat, schedule.lon)
    place = (schedule.event, float(schedule.lat), float(schedule.lon))
    # Early enough that an event is found from the first point of the grid before it.
    point = (moment - _EPOCH) // _HALF_DAY - 4
    last, empty = datetime.min.replace(tzinfo=UTC), 0
    while empty <= _LONGEST:
        event = _event(*place, point)
        point += 1
        empty += 1
        # The next event is most of a day away; what is closer is the same, from the next point.
        if event is None or event - last < timedelta(hours=1):
            continue
        last = event
        if event > moment:
            empty = 0
            yield event


@lru_cache(maxsize=65536)
def _event(event: str, lat: float, lon: float, point: int) -> datetime | None:
    """Return the event within a day of the grid's *point*, to the second; None when there is no
    such event.
    """
    ephem = _ephem()
    horizon, method, center = EVENTS[event]
    observer = ephem.Observer()
    observer.lat, observer.lon = str(lat), str(lon)
    observer.elevation, observer.pressure, observer.horizon = 0, 0, horizon
    start = _EPOCH + point * _HALF_DAY
    try:
        moment_text = getattr(observer, method)(
            ephem.Sun(), start=ephem.Date(start.replace(tzinfo=None)), **_options(center)
        )
    except ephem.CircumpolarError:
        return None
    at: datetime = moment_text.datetime().replace(tzinfo=UTC) + timedelta(milliseconds=500)
    at = at.replace(microsecond=0)
    return at if at < start + 2 * _HALF_DAY else None


def _options(center: bool) -> dict[str, bool]:
    return {"use_center": True} if center else {}
