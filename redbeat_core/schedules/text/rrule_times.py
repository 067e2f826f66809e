"""Parses and formats the times of RFC 5545: DTSTART, UNTIL, RDATE and EXDATE, and their zones.

Pure. :mod:`redbeat_core.schedules.text.rrule` lists the extensions of the RFC.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo

from redbeat_core.schedules.recurrence.zones import UnknownZoneError, find_zone, iana_name

from .tokens import Word, quoted

_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T([0-9]{2})([0-9]{2})([0-9]{2})(Z)?)?", re.I)
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])([0-9]{2}):?([0-9]{2})(?::?([0-9]{2}))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Property:
    """A line such as ``EXDATE;TZID=Europe/Berlin:20261224T090000``.

    :ivar settings: the text between the name and the colon.
    """

    name: str
    settings: Word
    value: Word


def read_time(word: Word, what: str) -> tuple[datetime, bool, bool]:
    """Parse *word* as a time of RFC 5545.

    :param what: the name of the property, for the error.
    :returns: the naive time, whether it is in UTC, and whether it is a date without a time.
    :raises ScheduleError: *word* is no valid time.
    """
    match = _DATE.fullmatch(word.text)
    if match is None:
        raise word.error(
            f"{what} {quoted(word.text)} is no time: write 20260131T090000, with a Z for UTC"
        )
    *numbers, utc = match.groups()
    try:
        year, month, day, hour, minute, second = (int(number or 0) for number in numbers)
        local = datetime.combine(date(year, month, day), time(hour, minute, second))
    except ValueError as exc:
        raise word.error(f"{what} {word.text} is no time: {exc}") from None
    return local, utc is not None, match.group(4) is None


def read_times(line: Property, zone: tzinfo, *, dates: bool) -> list[datetime]:
    """Parse the times of a property; they are aware.

    :param zone: the zone of times without one.
    :param dates: whether a date without a time is allowed; it stands for midnight.
    :raises ScheduleError: a time or a setting is invalid; the error has the column.
    """
    fold = 0
    has_zone = False
    for word in line.settings.split(";"):
        if not word.text:
            continue
        name, _, setting = word.text.partition("=")
        if name.upper() == "TZID":
            column = word.column + len(name) + 1
            if len(setting) > 1 and setting[0] == setting[-1] == '"':
                setting = setting[1:-1]
                column += 1
            zone = read_zone(Word(setting, column))
            has_zone = True
        elif word.text.upper() == "FOLD=1":
            fold = 1
        elif word.text.upper().replace('"', "") not in ("VALUE=DATE", "VALUE=DATE-TIME", "FOLD=0"):
            raise word.error(
                f"{line.name} knows no {quoted(word.text)}: it takes TZID, as in TZID=Europe/Berlin"
            )
    times = []
    for value in line.value.split(","):
        local, utc, is_date = read_time(value, line.name)
        if utc and has_zone:
            raise value.error(f"{line.name} has both a TZID and a Z for UTC: leave one out")
        if is_date and not dates:
            raise value.error(
                f"{line.name} {value.text} needs a time of day, as in {value.text}T090000"
            )
        times.append(local.replace(tzinfo=UTC if utc else zone, fold=fold))
    return times


def read_zone(word: Word) -> tzinfo:
    """Return the zone that *word* names, or the fixed offset, as in ``+0130``.

    :raises ScheduleError: the zone does not exist, or the offset is a day or more.
    """
    match = _OFFSET.fullmatch(word.text)
    if match is not None:
        sign, hours, minutes, seconds = match.groups()
        size = timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds or 0))
        if size >= timedelta(days=1):
            raise word.error(f"the offset {word.text} is not within a day of UTC")
        return timezone(-size if sign == "-" else size)
    try:
        return find_zone(word.text)
    except UnknownZoneError as exc:
        raise word.error(str(exc)) from None


def read_until(word: Word, zone: tzinfo) -> datetime:
    """Parse the value of UNTIL; a date without a time stands for the end of that day.

    :raises ScheduleError: *word* is no valid time.
    """
    local, utc, is_date = read_time(word, "UNTIL")
    if is_date:
        local = local.replace(hour=23, minute=59, second=59)
    return local.replace(tzinfo=UTC if utc else zone)


def write_times(name: str, times: Sequence[datetime]) -> str:
    """Return ``NAME;TZID=Europe/Berlin:20260101T090000``, once for each zone among *times*."""
    stamps_by_line: dict[str, list[str]] = {}
    for dt in times:
        zone = zone_text(dt)
        if zone is None:
            stamps_by_line.setdefault(name, []).append(f"{stamp(dt)}Z")
        else:
            fold = ";FOLD=1" if dt.fold else ""
            stamps_by_line.setdefault(f"{name};TZID={zone}{fold}", []).append(stamp(dt))
    return " ".join(f"{line}:{','.join(stamps)}" for line, stamps in stamps_by_line.items())


def zone_text(dt: datetime) -> str | None:
    """Return the zone of *dt*: its name, or its offset; None for UTC."""
    name = iana_name(dt.tzinfo)
    offset = dt.utcoffset()
    return name or (offset_name(offset) if offset else None)


def offset_name(offset: timedelta) -> str:
    """Return a UTC offset as ``+0100``; with seconds if it has any."""
    sign, size = ("-", -offset) if offset < timedelta(0) else ("+", offset)
    minutes, seconds = divmod(round(size.total_seconds()), 60)
    return f"{sign}{minutes // 60:02}{minutes % 60:02}" + (f"{seconds:02}" if seconds else "")


def stamp(dt: datetime) -> str:
    """Return the local time of *dt*, as ``20260101T090000``."""
    return f"{dt.year:04}{dt.month:02}{dt.day:02}T{dt.hour:02}{dt.minute:02}{dt.second:02}"
