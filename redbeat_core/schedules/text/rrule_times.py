"""Parses and formats times in the text of RFC 5545: DTSTART, UNTIL, RDATE and EXDATE, and their
zones.

Pure; :mod:`.rrule` lists the extensions of the RFC.
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
    """Parse *word*: return the naive time, whether it is UTC, and whether it is a date alone.

    :raises ScheduleError: it is no time.
    """
    match = _DATE.fullmatch(word.text)
    if match is None:
        raise word.error(
            f"{what} {quoted(word.text)} is no time: write 20260131T090000, with a Z for UTC"
        )
    *numbers, utc = match.groups()
    try:
        year, month, day, hour, minute, second = (int(number or 0) for number in numbers)
        moment = datetime.combine(date(year, month, day), time(hour, minute, second))
    except ValueError as exc:
        raise word.error(f"{what} {word.text} is no time: {exc}") from None
    return moment, utc is not None, match.group(4) is None


def read_times(line: Property, zone: tzinfo, *, dates: bool) -> list[datetime]:
    """The times of a property, aware.

    :param zone: for those that have none.
    :param dates: whether a date without a time is allowed; it means midnight.
    :raises ScheduleError: with the column.
    """
    fold = 0
    named = False
    for word in line.settings.split(";"):
        if not word.text:
            continue
        name, _, setting = word.text.partition("=")
        if name.upper() == "TZID":
            column = word.column + len(name) + 1
            if len(setting) > 1 and setting[0] == setting[-1] == '"':
                setting, column = setting[1:-1], column + 1
            zone, named = read_zone(Word(setting, column)), True
        elif word.text.upper() == "FOLD=1":
            fold = 1
        elif word.text.upper().replace('"', "") not in ("VALUE=DATE", "VALUE=DATE-TIME", "FOLD=0"):
            raise word.error(
                f"{line.name} knows no {quoted(word.text)}: it takes TZID, as in TZID=Europe/Berlin"
            )
    times = []
    for value in line.value.split(","):
        local, utc, mere_date = read_time(value, line.name)
        if utc and named:
            raise value.error(f"{line.name} has both a TZID and a Z for UTC: leave one out")
        if mere_date and not dates:
            raise value.error(
                f"{line.name} {value.text} needs a time of day, as in {value.text}T090000"
            )
        times.append(local.replace(tzinfo=UTC if utc else zone, fold=fold))
    return times


def read_zone(word: Word) -> tzinfo:
    """The zone of that name, or the offset, as in ``+0130``.

    :raises ScheduleError: there is none.
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
    """UNTIL; a mere date is the end of that day.

    :raises ScheduleError: it is none.
    """
    local, utc, mere_date = read_time(word, "UNTIL")
    if mere_date:
        local = local.replace(hour=23, minute=59, second=59)
    return local.replace(tzinfo=UTC if utc else zone)


def write_times(name: str, moments: Sequence[datetime]) -> str:
    """``NAME;TZID=Europe/Berlin:20260101T090000``, once for each zone among *moments*."""
    groups: dict[str, list[str]] = {}
    for moment in moments:
        zone = zone_text(moment)
        if zone is None:
            groups.setdefault(name, []).append(f"{stamp(moment)}Z")
        else:
            fold = ";FOLD=1" if moment.fold else ""
            groups.setdefault(f"{name};TZID={zone}{fold}", []).append(stamp(moment))
    return " ".join(f"{line}:{','.join(times)}" for line, times in groups.items())


def zone_text(moment: datetime) -> str | None:
    """Return the zone of *moment*: its name, or its offset; None for UTC."""
    name = iana_name(moment.tzinfo)
    offset = moment.utcoffset()
    return name or (offset_name(offset) if offset else None)


def offset_name(offset: timedelta) -> str:
    """Format a UTC offset as ``+0100``, with seconds when it has some."""
    sign, size = ("-", -offset) if offset < timedelta(0) else ("+", offset)
    minutes, seconds = divmod(round(size.total_seconds()), 60)
    return f"{sign}{minutes // 60:02}{minutes % 60:02}" + (f"{seconds:02}" if seconds else "")


def stamp(moment: datetime) -> str:
    """The wall clock of *moment*, as ``20260101T090000``."""
    return (
        f"{moment.year:04}{moment.month:02}{moment.day:02}"
        f"T{moment.hour:02}{moment.minute:02}{moment.second:02}"
    )
