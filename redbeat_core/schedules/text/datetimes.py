"""Parses and formats a date and time in readable form: ``2026-12-24 18:00 Europe/Berlin``.

The text may also have an offset (``2026-10-25 02:30+01:00 Europe/Berlin``), which distinguishes
the two passes of a repeated hour. Without a zone, the offset is the zone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from redbeat_core.schedules.recurrence.zones import iana_name, in_gap, is_repeated

from .rrule_times import read_zone
from .tokens import ScheduleError, Word, quoted

EXAMPLE = "2026-12-24 18:00 Europe/Berlin"

_MOMENT = re.compile(
    r"(?P<date>\d{4}-\d{1,2}-\d{1,2})"
    r"(?:(?:T|\s+)(?P<clock>\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)"
    r"(?:\s*(?P<offset>Z\b|[+-]\d{2}:?\d{2}(?::?\d{2})?))?)?"
    r"(?:\s+(?P<zone>\S+))?\s*",
    re.ASCII | re.IGNORECASE,
)


def parse_moment(word: Word, zone: tzinfo) -> datetime:
    """Parse *word* as an aware date and time.

    :param zone: the zone of a text without one.
    :raises ScheduleError: *word* is no valid time; the error has the column.
    """
    match = _MOMENT.fullmatch(word.text)
    if match is None:
        raise word.error(f"{quoted(word.text)} is no time: write it as in {EXAMPLE}")
    if match["clock"] is None:
        raise ScheduleError(
            f"at what time of day? Write it as in {match['date']} 18:00",
            word.column + match.end("date"),
        )
    hour, minute, *rest = match["clock"].split(":")
    seconds, _, fraction = (rest[0] if rest else "0").partition(".")
    try:
        year, month, day = map(int, match["date"].split("-"))
        local = datetime(  # noqa: DTZ001 - the code below adds the zone
            year,
            month,
            day,
            int(hour),
            int(minute),
            int(seconds),
            int(fraction.ljust(6, "0")) if fraction else 0,
        )
    except ValueError as exc:
        raise word.error(f"{quoted(word.text)} is no time: {exc}") from None
    offset = None
    if match["offset"]:
        at = word.column + match.start("offset")
        utc = match["offset"].upper() == "Z"
        offset = UTC if utc else read_zone(Word(match["offset"], at))
        zone = offset
    if match["zone"]:
        zone = read_zone(Word(match["zone"], word.column + match.start("zone")))
    if offset is None or offset is zone:
        if in_gap(local, zone):
            later = local.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
            raise word.error(
                f"the clocks of {zone} jump over that time: write {later:%Y-%m-%d %H:%M}"
            )
        return local.replace(tzinfo=zone)
    instant = local.replace(tzinfo=offset).astimezone(zone)
    if instant.replace(tzinfo=None) != local:
        raise ScheduleError(
            f"the clocks of {match['zone']} do not have the offset {match['offset']} then: leave "
            "one of the two out",
            word.column + match.start("offset"),
        )
    return instant


def format_moment(moment: datetime) -> str:
    """Return the text of *moment*; :func:`parse_moment` returns an equal time in the same zone."""
    text = f"{moment.year:04}-{moment.month:02}-{moment.day:02} {moment.hour:02}:{moment.minute:02}"
    if moment.second or moment.microsecond:
        text += f":{moment.second:02}"
    if moment.microsecond:
        text += f".{moment.microsecond:06}".rstrip("0")
    name = iana_name(moment.tzinfo)
    offset = moment.utcoffset()
    if name is None:
        return text + (_offset(offset) if offset else " UTC")
    local = moment.replace(tzinfo=None)
    zone = moment.tzinfo
    if moment.fold and zone is not None and is_repeated(local, zone):
        text += _offset(offset or timedelta(0))
    return f"{text} {name}"


def _offset(offset: timedelta) -> str:
    sign, size = ("-", -offset) if offset < timedelta(0) else ("+", offset)
    minutes, seconds = divmod(round(size.total_seconds()), 60)
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")
