"""Finds time zones by name, computes their clock changes, and converts local times to UTC.

Pure. It defines the two policies for clock changes:

- *local time* (schedules that name hours of the day): a :class:`DstPolicy` applies. By default a
  local time in a DST gap is shifted forward by the length of the gap (or, to stay within its day,
  back to the last second before the gap), and a local time that occurs twice runs once, the first
  time.
- *elapsed time* (schedules that run every hour or more often): a clock change does not alter the
  distance between two runs.
"""

from __future__ import annotations

import calendar
import difflib
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

ZERO = timedelta(0)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)
#: One day before the end of the calendar: later instants may have no local time.
END = datetime.max.replace(tzinfo=UTC) - DAY

#: Names for UTC: a zone with such a name is no different from an offset of zero.
UTC_NAMES = frozenset(
    {"UTC", "Etc/UTC", "UCT", "Etc/UCT", "Universal", "Zulu", "Etc/Zulu", "GMT", "Etc/GMT"}
)


class UnknownZoneError(ValueError):
    """No time zone has this name; the message lists similar names."""


@dataclass(frozen=True, slots=True)
class DstPolicy:
    """The effect of a clock change on schedules that follow local time.

    :ivar nonexistent: for a local time in a DST gap. ``shift``: run later by the length of the gap
        (02:30 runs at 03:30), or, where that is the next day, in the last second before the gap.
        ``skip``: do not run.
    :ivar ambiguous: for a local time that occurs twice: run the ``first`` time, the ``last`` time,
        or ``both`` times.
    """

    nonexistent: Literal["shift", "skip"] = "shift"
    ambiguous: Literal["first", "last", "both"] = "first"


DEFAULT_DST = DstPolicy()


#: Files in the zone database that are not zones: their content depends on the machine.
_NO_ZONES = frozenset({"localtime", "posixrules"})


@lru_cache(maxsize=1)
def _zone_names() -> tuple[str, ...]:
    return tuple(sorted(available_timezones() - _NO_ZONES))


@lru_cache(maxsize=1024)
def find_zone(name: str) -> ZoneInfo:
    """Return the IANA time zone with the name *name*.

    :raises UnknownZoneError: there is no such zone.
    """
    try:
        plain = name and len(name) <= 100 and name.isascii() and name.isprintable()
        if plain and name not in _NO_ZONES:
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    raise UnknownZoneError(_no_such_zone(name))


def _no_such_zone(name: str) -> str:
    """Return the error message for an unknown zone, with up to three similar names."""
    shown = repr(name if len(name) <= 60 else name[:57] + "...")
    folded = name[:60].casefold().replace(" ", "_")
    cities: dict[str, str] = {}
    for zone in _zone_names():
        cities.setdefault(zone.casefold(), zone)
        cities.setdefault(zone.rsplit("/", 1)[-1].casefold(), zone)
    close = [cities[match] for match in difflib.get_close_matches(folded, cities, n=3, cutoff=0.7)]
    close = list(dict.fromkeys(close))
    hint = (
        f"; did you mean {' or '.join(close)}?"
        if close
        else ": write one as in Europe/Berlin or UTC"
    )
    return f"there is no time zone {shown}{hint}"


def iana_name(zone: tzinfo | None) -> str | None:
    """Return the name of *zone* if it is an IANA zone other than UTC, else None."""
    key = getattr(zone, "key", None)
    return key if isinstance(key, str) and key not in UTC_NAMES else None


def named_zone(zone: tzinfo) -> tzinfo:
    """Return *zone*, or, for a zone of dateutil or pytz, the standard library's of the same name.

    Those zones have their name in another attribute than ``key``, and a pytz zone keeps one offset
    all year.
    """
    if isinstance(zone, ZoneInfo | timezone):
        return zone
    name = getattr(zone, "zone", None) or getattr(zone, "_filename", None)
    if not isinstance(name, str):
        return zone
    try:
        return find_zone(name.rpartition("zoneinfo/")[2])
    except UnknownZoneError:
        return zone


def in_named_zone(value: datetime) -> datetime:
    """Return the instant *value* (aware) in the :func:`named_zone` of its zone."""
    zone = None if value.tzinfo is None else named_zone(value.tzinfo)
    return value if zone is value.tzinfo else value.astimezone(zone)


def to_utc(local: datetime, zone: tzinfo) -> datetime:
    """Return the instant of the naive *local* time in *zone*, by the default DST policy.

    In a DST gap ``fold=0`` uses the offset before the gap, the smaller one, which shifts the time
    forward. In a repeated hour ``fold=0`` is the first pass.
    """
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


def offsets_of(local: datetime, zone: tzinfo) -> tuple[timedelta, timedelta]:
    """Return the UTC offsets of the naive *local* time for fold 0 and fold 1.

    In a DST gap the first is the smaller one, in a repeated hour the greater one; otherwise they
    are equal.
    """
    return (
        local.replace(tzinfo=zone, fold=0).utcoffset() or ZERO,
        local.replace(tzinfo=zone, fold=1).utcoffset() or ZERO,
    )


def in_gap(local: datetime, zone: tzinfo) -> bool:
    """Whether the naive *local* time lies in a DST gap of *zone*."""
    first, second = offsets_of(local, zone)
    return first < second


def is_repeated(local: datetime, zone: tzinfo) -> bool:
    """Whether the naive *local* time occurs twice in *zone*."""
    first, second = offsets_of(local, zone)
    return first > second


def instants_of(local: datetime, zone: tzinfo, dst: DstPolicy = DEFAULT_DST) -> list[datetime]:
    """Return the instants (UTC) of the naive *local* time of *zone* under *dst*: 0, 1 or 2."""
    first, second = offsets_of(local, zone)
    if first < second:
        return [shifted(local, zone, first, second)] if dst.nonexistent == "shift" else []
    if dst.ambiguous == "both" and first > second:
        chosen = [first, second]
    else:
        chosen = [second if dst.ambiguous == "last" else first]
    return [(local - offset).replace(tzinfo=UTC) for offset in chosen]


def shifted(local: datetime, zone: tzinfo, before: timedelta, after: timedelta) -> datetime:
    """Return the instant (UTC) at which the naive *local* time in a DST gap runs.

    02:30 with the offset before the gap is 03:30 with the offset after it. Where that is another
    day (clocks that go forward at 23:00, as in Nuuk), a daily schedule would miss its day and run
    twice on the next one. So it runs in the last second before the gap.

    :param before: the UTC offset before the gap.
    :param after: the UTC offset after the gap.
    """
    later = (local - before).replace(tzinfo=UTC)
    if (local - before + after).date() != local.date():
        change = next_change(zone, (local - after).replace(tzinfo=UTC), later)
        if change is not None and (change + before - SECOND).date() == local.date():
            return change - SECOND
    return later


def offset_at(instant: datetime, zone: tzinfo) -> timedelta:
    """Return the UTC offset of *zone* at *instant* (aware)."""
    # Convert by way of UTC: a local time of *zone* in a DST gap would stay unchanged.
    return instant.astimezone(UTC).astimezone(zone).utcoffset() or ZERO


def next_change(zone: tzinfo, after: datetime, until: datetime) -> datetime | None:
    """Return the first change (UTC) of the UTC offset of *zone* in (after, until], to the second.

    *after* and *until* are aware, in any zone.

    Two changes that cancel each other within six days may remain undetected; no zone has had that
    since 1939.
    """
    if isinstance(zone, timezone) or getattr(zone, "key", None) in UTC_NAMES:
        return None
    # The years below are those of UTC.
    after, until = after.astimezone(UTC), until.astimezone(UTC)
    is_iana = isinstance(zone, ZoneInfo)
    begin = max(after.year, _FIRST_CHANGES) if is_iana else after.year
    for year in range(begin, until.year + 1):
        for change in changes_in(zone, year):
            if change > until:
                return None
            if change > after:
                return change
        if is_iana and year == EVENLY_FROM + 28 and not _changes_evenly(zone):
            break
    return None


def changes_in(zone: tzinfo, year: int) -> tuple[datetime, ...]:
    """Return the changes (UTC) of the UTC offset of *zone* in a year of UTC."""
    try:
        return _cached_changes(zone, year)
    except TypeError:  # dateutil's zones cannot be keys
        return _cached_changes.__wrapped__(zone, year)


#: Before this year no zone had a clock change.
_FIRST_CHANGES = 1800
#: From this year on every zone repeats the same rules each year. 28 years hold each combination of
#: first weekday and leap year.
EVENLY_FROM = 2104
#: Days between two checks of the offset; two clock changes have always been further apart.
_STEP = 6


@lru_cache(maxsize=1)
def _kinds() -> dict[tuple[int, bool], int]:
    """Return, by first weekday and leap year, how many years after EVENLY_FROM such a year is."""
    years = {number: EVENLY_FROM + number for number in reversed(range(28))}
    return {(date(y, 1, 1).weekday(), calendar.isleap(y)): n for n, y in years.items()}


@lru_cache(maxsize=1024)
def _changes_evenly(zone: ZoneInfo) -> bool:
    """Whether *zone* still has clock changes after EVENLY_FROM."""
    return any(_cached_changes(zone, EVENLY_FROM + number) for number in range(28))


@lru_cache(maxsize=16384)
def _cached_changes(zone: tzinfo, year: int) -> tuple[datetime, ...]:
    if year > EVENLY_FROM + 28 and isinstance(zone, ZoneInfo):
        # Every zone repeats its rules by then: copy the changes of a year of the same kind.
        like = EVENLY_FROM + _kinds()[date(year, 1, 1).weekday(), calendar.isleap(year)]
        later = date(year, 1, 1) - date(like, 1, 1)
        return tuple(change + later for change in _cached_changes(zone, like))
    low = datetime(year, 1, 1, tzinfo=UTC)
    end = datetime(year + 1, 1, 1, tzinfo=UTC) if year < MAXYEAR else END
    offset = offset_at(low, zone)
    changes = []
    # Step in local time, which is several times faster than from UTC.
    start = (low + offset).replace(tzinfo=zone)
    for days in range(_STEP, 361, _STEP):
        after = (start + timedelta(days)).utcoffset() or ZERO
        if after != offset:
            before, high = (
                (start + timedelta(day) - at).replace(tzinfo=UTC)
                for day, at in ((days - _STEP, offset), (days, after))
            )
            changes.append(_change_between(zone, before, high, offset))
            offset = after
    if offset != offset_at(end, zone):
        last = (start + timedelta(360) - offset).replace(tzinfo=UTC)
        changes.append(_change_between(zone, last, end, offset))
    return tuple(changes)


def _change_between(zone: tzinfo, low: datetime, high: datetime, offset: timedelta) -> datetime:
    """Return the change of *zone* from *offset* to another offset between *low* and *high*."""
    if offset_at(low, zone) != offset:
        # The checked local time lies in a DST gap.
        low -= DAY
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if offset_at(middle, zone) == offset:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)
