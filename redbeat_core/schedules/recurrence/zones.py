"""Time zones: finding one by name, when its clock changes, and what that does to a local time.

Pure. The policy for daylight saving is applied here and nowhere else:

- *wall clock* (anything that names hours of the day): what a :class:`DstPolicy` says; by default
  a local time that does not exist is moved forward by the gap (or, to stay within its day, to the
  last second before it), and one that occurs twice counts once, the first time.
- *elapsed time* (anything that runs every hour or more often): the clock change neither
  stretches nor repeats the distance between two runs.
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
#: Near the end of the calendar: later, a local time may be none.
END = datetime.max.replace(tzinfo=UTC) - DAY

#: Names that all mean UTC, so that a zone of this name says no more than an offset of zero.
UTC_NAMES = frozenset(
    {"UTC", "Etc/UTC", "UCT", "Etc/UCT", "Universal", "Zulu", "Etc/Zulu", "GMT", "Etc/GMT"}
)


class UnknownZoneError(ValueError):
    """No time zone has this name; the message lists names that come close."""


@dataclass(frozen=True, slots=True)
class DstPolicy:
    """What a change of the clock does to schedules that go by the clock on the wall.

    :ivar nonexistent: of a local time that the clock jumps over: ``shift``, run later by the
        length of the gap (02:30 at 03:30), or in the last second before the gap where later is
        the next day; ``skip``, do not run.
    :ivar ambiguous: of a local time that comes twice: run the ``first`` time, the ``last`` or
        ``both``.
    """

    nonexistent: Literal["shift", "skip"] = "shift"
    ambiguous: Literal["first", "last", "both"] = "first"


DEFAULT_DST = DstPolicy()


#: Files beside the zones which are no zones: what they say depends on the machine.
_NO_ZONES = frozenset({"localtime", "posixrules"})


@lru_cache(maxsize=1)
def _zone_names() -> tuple[str, ...]:
    return tuple(sorted(available_timezones() - _NO_ZONES))


@lru_cache(maxsize=1024)
def find_zone(name: str) -> ZoneInfo:
    """Return the IANA time zone called *name*.

    :raises UnknownZoneError: there is none.
    """
    try:
        plain = name and len(name) <= 100 and name.isascii() and name.isprintable()
        if plain and name not in _NO_ZONES:
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    raise UnknownZoneError(_no_such_zone(name))


def _no_such_zone(name: str) -> str:
    said = repr(name if len(name) <= 60 else name[:57] + "...")
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
    return f"there is no time zone {said}{hint}"


def iana_name(zone: tzinfo | None) -> str | None:
    """Return the name of *zone* if it is an IANA zone other than UTC, else None."""
    key = getattr(zone, "key", None)
    return key if isinstance(key, str) and key not in UTC_NAMES else None


def named_zone(zone: tzinfo) -> tzinfo:
    """Return *zone*, or for a zone of dateutil or pytz the standard library's of the same name.

    Their zones know their names, too, but have no ``key``, and those of pytz do not change their
    offset.
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


def in_named_zone(moment: datetime) -> datetime:
    """Convert *moment* (aware) to :func:`named_zone` of its zone."""
    zone = None if moment.tzinfo is None else named_zone(moment.tzinfo)
    return moment if zone is moment.tzinfo else moment.astimezone(zone)


def to_utc(local: datetime, zone: tzinfo) -> datetime:
    """The instant of the naive *local* time in *zone*, by the wall-clock policy.

    Before a gap the clock shows the smaller offset and ``fold=0`` keeps using it inside the
    gap, which is the shift forward; in a repeated hour ``fold=0`` is the first pass.
    """
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


def offsets_of(local: datetime, zone: tzinfo) -> tuple[timedelta, timedelta]:
    """The UTC offsets of the naive *local* time: in a gap the first is the smaller one, in a
    repeated hour the greater one, else they are equal."""
    return (
        local.replace(tzinfo=zone, fold=0).utcoffset() or ZERO,
        local.replace(tzinfo=zone, fold=1).utcoffset() or ZERO,
    )


def in_gap(local: datetime, zone: tzinfo) -> bool:
    """Whether the clocks of *zone* never show the naive *local* time."""
    first, second = offsets_of(local, zone)
    return first < second


def is_repeated(local: datetime, zone: tzinfo) -> bool:
    """Whether the clocks of *zone* show the naive *local* time twice."""
    first, second = offsets_of(local, zone)
    return first > second


def instants_of(local: datetime, zone: tzinfo, dst: DstPolicy = DEFAULT_DST) -> list[datetime]:
    """When (UTC) the naive *local* time of *zone* is under *dst*: never, once or twice."""
    first, second = offsets_of(local, zone)
    if first < second:
        return [shifted(local, zone, first, second)] if dst.nonexistent == "shift" else []
    if dst.ambiguous == "both" and first > second:
        chosen = [first, second]
    else:
        chosen = [second if dst.ambiguous == "last" else first]
    return [(local - offset).replace(tzinfo=UTC) for offset in chosen]


def shifted(local: datetime, zone: tzinfo, before: timedelta, after: timedelta) -> datetime:
    """When (UTC) the naive *local* time runs, which lies in a gap between these offsets.

    02:30 by the offset before the gap is 03:30 by that after it. Where that is another day (clocks
    that go forward at 23:00, as in Nuuk), a daily run would be none of its day and the second of
    the next one: it runs in the last second before the gap.
    """
    later = (local - before).replace(tzinfo=UTC)
    if (local - before + after).date() != local.date():
        change = next_change(zone, (local - after).replace(tzinfo=UTC), later)
        if change is not None and (change + before - SECOND).date() == local.date():
            return change - SECOND
    return later


def offset_at(instant: datetime, zone: tzinfo) -> timedelta:
    """The UTC offset in force in *zone* at *instant* (aware)."""
    # By way of UTC: a time of *zone* itself that its clocks jump over would stay as it is.
    return instant.astimezone(UTC).astimezone(zone).utcoffset() or ZERO


def next_change(zone: tzinfo, after: datetime, until: datetime) -> datetime | None:
    """Return the first change (UTC) of the UTC offset of *zone* in (after, until], to the second.

    *after* and *until* are aware, in any zone.

    It may miss two changes that cancel each other within six days; no zone has had such since 1939.
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
    """The changes of the UTC offset of *zone* in a year of UTC."""
    try:
        return _changes_kept(zone, year)
    except TypeError:  # dateutil's zones cannot be keys
        return _changes_kept.__wrapped__(zone, year)


#: Before that year no zone had changes, and from here on no zone has changes of its own; 28 years
#: have years of all kinds.
_FIRST_CHANGES, EVENLY_FROM = 1800, 2104
#: Days between two looks at the offset; the time between two changes has never been as short.
_STEP = 6


@lru_cache(maxsize=1)
def _kinds() -> dict[tuple[int, bool], int]:
    """Return, for each first weekday and length, how many years back the last such year is."""
    years = {number: EVENLY_FROM + number for number in reversed(range(28))}
    return {(date(y, 1, 1).weekday(), calendar.isleap(y)): n for n, y in years.items()}


@lru_cache(maxsize=1024)
def _changes_evenly(zone: ZoneInfo) -> bool:
    """Whether the offset of *zone* keeps changing without end."""
    return any(_changes_kept(zone, EVENLY_FROM + number) for number in range(28))


@lru_cache(maxsize=16384)
def _changes_kept(zone: tzinfo, year: int) -> tuple[datetime, ...]:
    if year > EVENLY_FROM + 28 and isinstance(zone, ZoneInfo):
        # By then zones go by rules for the year, and these look alike.
        like = EVENLY_FROM + _kinds()[date(year, 1, 1).weekday(), calendar.isleap(year)]
        later = date(year, 1, 1) - date(like, 1, 1)
        return tuple(change + later for change in _changes_kept(zone, like))
    low = datetime(year, 1, 1, tzinfo=UTC)
    end = datetime(year + 1, 1, 1, tzinfo=UTC) if year < MAXYEAR else END
    offset, found = offset_at(low, zone), []
    # By the clock on the wall, which is several times as quick as from UTC.
    start = (low + offset).replace(tzinfo=zone)
    for days in range(_STEP, 361, _STEP):
        after = (start + timedelta(days)).utcoffset() or ZERO
        if after != offset:
            before, high = (
                (start + timedelta(day) - at).replace(tzinfo=UTC)
                for day, at in ((days - _STEP, offset), (days, after))
            )
            found.append(_change_between(zone, before, high, offset))
            offset = after
    if offset != offset_at(end, zone):
        last = (start + timedelta(360) - offset).replace(tzinfo=UTC)
        found.append(_change_between(zone, last, end, offset))
    return tuple(found)


def _change_between(zone: tzinfo, low: datetime, high: datetime, offset: timedelta) -> datetime:
    if offset_at(low, zone) != offset:
        # The clock on the wall never showed the time that was looked at.
        low -= DAY
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if offset_at(middle, zone) == offset:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)
