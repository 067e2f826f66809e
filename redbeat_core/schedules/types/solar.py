"""The schedule type ``solar``: Celery's type, with the same time for an event at each computation.

Pure. ``ephem`` does the arithmetic; ``redbeat-tui[solar]`` installs it. Celery asks ephem for the
next event after an instant. That answer varies with the instant by fractions of a second, so the
run that was just made may come once more. This module computes each event from a fixed grid of
half days, so an event always has the same time, to the second.
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

#: For each event, as in Celery: the altitude of the sun in degrees, ephem's method, and whether the
#: centre of the sun is at that altitude, not its upper limb.
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
#: An event that does not occur within this number of half days (400 days) never occurs.
_LONGEST = 800
_HALF_DAY = timedelta(hours=12)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SolarUnavailableError(ValueError):
    """The package ephem is not installed, or is too old."""


def check_solar(event: str, lat: float, lon: float) -> None:
    """Check the arguments of a solar schedule.

    Places at the poles are invalid: ephem may search for ever there.

    :raises SolarUnavailableError: ephem is not installed, or is too old.
    :raises ValueError: the event or the place is invalid; the message says what is valid.
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
    """An event of the sun at a place, like Celery's ``solar``.

    :param event: one of :data:`EVENTS`.
    :param lat: degrees, north is positive.
    :param lon: degrees, east is positive.
    :raises SolarUnavailableError: ephem is not installed, or is too old.
    :raises ValueError: the event or the place is invalid.
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

    def runs_after(self, after: datetime, dst: DstPolicy = DEFAULT_DST) -> Iterator[datetime]:
        """Yield the events strictly after *after* (aware), in UTC, ascending."""
        return solar_after(self, after)

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
    """Rebuild a pickled schedule."""
    return cls(event, lat, lon, nowfun=nowfun)


def solar_after(schedule: celery_solar, after: datetime) -> Iterator[datetime]:
    """Yield the events of *schedule* strictly after *after* (aware), in UTC, ascending."""
    check_solar(schedule.event, schedule.lat, schedule.lon)
    place = (schedule.event, float(schedule.lat), float(schedule.lon))
    # Start early enough to compute each event from the first point of the grid that gives it.
    point = (after - _EPOCH) // _HALF_DAY - 4
    last = datetime.min.replace(tzinfo=UTC)
    empty = 0
    while empty <= _LONGEST:
        event = _event(*place, point)
        point += 1
        empty += 1
        # Two events are most of a day apart: a closer one is the same event from the next point.
        if event is None or event - last < timedelta(hours=1):
            continue
        last = event
        if event > after:
            empty = 0
            yield event


@lru_cache(maxsize=65536)
def _event(event: str, lat: float, lon: float, point: int) -> datetime | None:
    """Return the event within a day after the grid's *point*, to the second; None: no event."""
    ephem = _ephem()
    horizon, method, center = EVENTS[event]
    observer = ephem.Observer()
    observer.lat = str(lat)
    observer.lon = str(lon)
    observer.elevation = 0
    observer.pressure = 0
    observer.horizon = horizon
    start = _EPOCH + point * _HALF_DAY
    try:
        ephem_date = getattr(observer, method)(
            ephem.Sun(), start=ephem.Date(start.replace(tzinfo=None)), **_options(center)
        )
    except ephem.CircumpolarError:
        return None
    at: datetime = ephem_date.datetime().replace(tzinfo=UTC) + timedelta(milliseconds=500)
    at = at.replace(microsecond=0)
    return at if at < start + 2 * _HALF_DAY else None


def _options(center: bool) -> dict[str, bool]:
    return {"use_center": True} if center else {}
