"""Recurrence rules as text, both ways: RFC 5545's RRULE with its DTSTART.

Beyond the RFC: BYEASTER, as dateutil has it; a TZID that is an offset (``TZID=+0100``), since
celery-redbeat stores such rules; and ``FOLD=1`` beside TZID for a DTSTART in the second pass of
a repeated hour. A DATE as UNTIL means the end of that day.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Any

from dateutil.rrule import weekday

from .rrule_times import MINUTELY, MONTHLY
from .rules import RANGES, WEEKDAYS, rrule
from .scanning import ScheduleError, Word, did_you_mean, quoted
from .zones import UnknownZoneError, find_zone, iana_name

EXAMPLE = "FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9;BYMINUTE=0"

_LISTS = {name.upper(): name for name in RANGES}
_PARTS = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", *_LISTS)
_START = re.compile(r"DTSTART((?:;[^:\s]*)?):(\S+)\s*", re.IGNORECASE)
_PROPERTY = re.compile(r"(?:^|(?<=\s))(DTSTART|RRULE|RDATE|EXDATE|EXRULE|DTEND|DURATION)\b", re.I)
_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T([0-9]{2})([0-9]{2})([0-9]{2})(Z)?)?", re.I)
_DAY = re.compile(r"([+-]?[0-9]{1,3})?([A-Z]+)", re.IGNORECASE)
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])([0-9]{2}):?([0-9]{2})(?::?([0-9]{2}))?", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}")


def looks_like_rule(text: str) -> bool:
    """Whether *text* is meant as RFC 5545, right or wrong."""
    return bool(_PROPERTY.match(text)) or re.match(r"[A-Za-z]+\s*=", text) is not None


def parse_rule(text: str, zone: tzinfo, now: datetime) -> rrule:
    """The rule that *text* says.

    Without a DTSTART it starts at *now* in *zone*, down to the minute (with COUNT: at the next
    minute, so that all runs are still to come); and where BYHOUR is given without BYMINUTE, the
    minute is 0. With a DTSTART all is as RFC 5545 has it.

    :param zone: for local times without a TZID.
    :raises ScheduleError: with the column.
    """
    start, rule = _properties(text)
    parts = _parts(rule)
    dtstart = None if start is None else _dtstart(start, zone)
    arguments: dict[str, Any] = {
        _LISTS[name]: _numbers(name, value) for name, value in parts.items() if name in _LISTS
    }
    freq = arguments["freq"] = _freq(parts.get("FREQ"), rule)
    if "BYDAY" in parts:
        arguments["byweekday"] = _weekdays(parts["BYDAY"], freq)
    if "WKST" in parts:
        arguments["wkst"] = _weekday(parts["WKST"], parts["WKST"].text)
    for name in ("INTERVAL", "COUNT"):
        if name in parts:
            arguments[name.lower()] = _positive(name, parts[name])
    if dtstart is None:
        dtstart = now.astimezone(zone).replace(second=0, microsecond=0)
        if "COUNT" in parts:
            dtstart += timedelta(minutes=1)
        if "BYHOUR" in parts and "BYMINUTE" not in parts and freq < MINUTELY:
            arguments["byminute"] = 0
    if "UNTIL" in parts:
        arguments["until"] = _until(parts["UNTIL"], dtstart.tzinfo or UTC)
    try:
        return rrule(dtstart=dtstart, **arguments)
    except ValueError as exc:
        raise rule.error(str(exc)) from None


def _properties(text: str) -> tuple[re.Match[str] | None, Word]:
    start, rule = None, None
    position = 0
    while position < len(text):
        name = _PROPERTY.match(text, position)
        if name is not None and name.group(1).upper() == "DTSTART":
            if start is not None:
                raise ScheduleError("there is more than one DTSTART", position)
            start = _START.match(text, position)
            if start is None:
                raise ScheduleError(
                    "DTSTART needs a time, as in DTSTART;TZID=Europe/Berlin:20260101T090000",
                    position,
                )
            position = start.end()
            continue
        if name is not None and name.group(1).upper() != "RRULE":
            raise ScheduleError(
                f"{name.group(1).upper()} is not supported: a schedule is one RRULE, "
                "with a DTSTART if need be",
                position,
            )
        if rule is not None:
            raise ScheduleError("there is more than one RRULE", position)
        if name is not None:
            if text[name.end() : name.end() + 1] != ":":
                raise ScheduleError(f"write RRULE:{EXAMPLE}", name.end())
            position = name.end() + 1
        following = _PROPERTY.search(text, position)
        end = following.start() if following else len(text)
        rule = Word(text[position:end].rstrip(), position)
        position = end
    if rule is None or not rule.text.strip():
        raise ScheduleError(f"the rule is missing: write one as in {EXAMPLE}", len(text))
    return start, rule


def _parts(rule: Word) -> dict[str, Word]:
    parts: dict[str, Word] = {}
    for word in rule.split(";"):
        if not word.text:
            continue
        pair = word.split("=")
        name = pair[0].text.upper()
        if name not in _PARTS:
            raise word.error(
                f"{quoted(pair[0].text)} is no part of a rule{did_you_mean(name, _PARTS)}"
                if did_you_mean(name, _PARTS)
                else f"{quoted(pair[0].text)} is no part of a rule, which has {', '.join(_PARTS)}"
            )
        if len(pair) != 2 or not pair[1].text:
            raise word.error(f"{name} needs one value, as in {EXAMPLE}")
        if name in parts:
            raise word.error(f"{name} is given twice")
        parts[name] = pair[1]
    return parts


def _freq(word: Word | None, rule: Word) -> int:
    names = rrule.FREQ_MAP
    if word is None:
        raise rule.error(f"FREQ is missing: one of {', '.join(names)}")
    freq: int | None = names.get(word.text.upper())
    if freq is None:
        raise word.error(
            f"{quoted(word.text)} is no FREQ: it is one of {', '.join(names)}"
            + did_you_mean(word.text, names)
        )
    return freq


def _integer(name: str, word: Word) -> int:
    if not _NUMBER.fullmatch(word.text):
        raise word.error(f"{name} {quoted(word.text)} is no whole number")
    return int(word.text)


def _positive(name: str, word: Word) -> int:
    number = _integer(name, word)
    if not 1 <= number < 2**31:
        raise word.error(f"{name} {number} is not within 1-{2**31 - 1}")
    return number


def _numbers(name: str, word: Word) -> list[int]:
    low, high, signed = RANGES[_LISTS[name]]
    numbers = []
    for piece in word.split(","):
        number = _integer(name, piece)
        if not (low <= number <= high or (signed and low <= -number <= high)):
            also = f" or -{high}--{low}" if signed else ""
            raise piece.error(f"{name} {number} is not within {low}-{high}{also}")
        numbers.append(number)
    return numbers


def _weekday(word: Word, name: str) -> int:
    if name.upper() not in WEEKDAYS:
        raise word.error(
            f"{quoted(name)} is no weekday: it is one of {', '.join(WEEKDAYS)}"
            + did_you_mean(name[:2], WEEKDAYS)
        )
    return WEEKDAYS.index(name.upper())


def _weekdays(word: Word, freq: int) -> list[weekday]:
    days = []
    for piece in word.split(","):
        match = _DAY.fullmatch(piece.text)
        if match is None:
            raise piece.error(f"{quoted(piece.text)} is no weekday: write MO, 2TU or -1FR")
        day = _weekday(piece, match.group(2))
        n = int(match.group(1) or 0)
        if match.group(1) and not 1 <= abs(n) <= 53:
            raise piece.error(
                f"BYDAY {quoted(piece.text)}: the number is not within 1-53 or -53--1"
            )
        if n and freq > MONTHLY:
            raise piece.error(
                f"BYDAY {piece.text} counts weekdays of a month or year: it needs FREQ=MONTHLY "
                "or FREQ=YEARLY"
            )
        days.append(weekday(day, n or None))
    return days


def _time(word: Word, what: str) -> tuple[datetime, bool, bool]:
    """The naive time that *word* writes, whether it is UTC, and whether it is a mere date."""
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


def _dtstart(match: re.Match[str], zone: tzinfo) -> datetime:
    value = Word(match.group(2), match.start(2))
    local, utc, _ = _time(value, "DTSTART")
    fold = 0
    named = False
    for word in Word(match.group(1), match.start(1)).split(";"):
        if not word.text:
            continue
        name, _, setting = word.text.partition("=")
        if name.upper() == "TZID":
            zone, named = _zone(Word(setting, word.column + len(name) + 1)), True
        elif word.text.upper() == "FOLD=1":
            fold = 1
        elif word.text.upper() not in ("VALUE=DATE", "VALUE=DATE-TIME", "FOLD=0"):
            raise word.error(
                f"DTSTART knows no {quoted(word.text)}: it takes TZID, as in TZID=Europe/Berlin"
            )
    if utc and named:
        raise value.error("DTSTART has both a TZID and a Z for UTC: leave one out")
    return local.replace(tzinfo=UTC if utc else zone, fold=fold)


def _zone(word: Word) -> tzinfo:
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


def _until(word: Word, zone: tzinfo) -> datetime:
    local, utc, mere_date = _time(word, "UNTIL")
    if mere_date:
        local = local.replace(hour=23, minute=59, second=59)
    return local.replace(tzinfo=UTC if utc else zone)


def format_rule(rule: rrule) -> str:
    """The text of *rule*, on one line; :func:`parse_rule` makes an equal rule of it."""
    parts = rule.recurrence.parts
    names = {number: name for name, number in rule.FREQ_MAP.items()}
    out = [f"FREQ={names[parts.freq]}"]
    if parts.interval != 1:
        out.append(f"INTERVAL={parts.interval}")
    if parts.wkst:
        out.append(f"WKST={WEEKDAYS[parts.wkst]}")
    if rule.count is not None:
        out.append(f"COUNT={rule.count}")
    if rule.recurrence.until is not None:
        out.append(f"UNTIL={_stamp(rule.recurrence.until)}Z")
    for name, attribute in _LISTS.items():
        if numbers := getattr(parts, attribute):
            out.append(f"{name}={','.join(map(str, numbers))}")
        if attribute == "byweekno" and parts.byweekday:
            days = (f"{n or ''}{WEEKDAYS[day]}" for day, n in parts.byweekday)
            out.append(f"BYDAY={','.join(days)}")
    return f"{_start_text(rule.recurrence.dtstart)} RRULE:{';'.join(out)}"


def _start_text(start: datetime) -> str:
    name = iana_name(start.tzinfo)
    if name is None:
        offset = start.utcoffset()
        if not offset:
            return f"DTSTART:{_stamp(start)}Z"
        name = offset_name(offset)
    fold = ";FOLD=1" if start.fold else ""
    return f"DTSTART;TZID={name}{fold}:{_stamp(start)}"


def offset_name(offset: timedelta) -> str:
    """A UTC offset as ``+0100``, with seconds when it has some."""
    sign, size = ("-", -offset) if offset < timedelta(0) else ("+", offset)
    minutes, seconds = divmod(round(size.total_seconds()), 60)
    return f"{sign}{minutes // 60:02}{minutes % 60:02}" + (f"{seconds:02}" if seconds else "")


def _stamp(moment: datetime) -> str:
    return (
        f"{moment.year:04}{moment.month:02}{moment.day:02}"
        f"T{moment.hour:02}{moment.minute:02}{moment.second:02}"
    )
