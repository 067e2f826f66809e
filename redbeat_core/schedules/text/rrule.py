"""Parses and formats recurrence rules of RFC 5545: RRULE with DTSTART, RDATE, EXRULE and EXDATE.

The module supports more than the RFC: BYEASTER, as dateutil does; a TZID that is an offset
(``TZID=+0100``), since celery-redbeat stores such rules; ``FOLD=1`` beside TZID for a DTSTART in
the second pass of a repeated hour; and ``COUNT=0`` for a rule without any run, as dateutil does.
A DATE as UNTIL stands for the end of that day, and a DATE as DTSTART for its midnight. If DTSTART
is a DATE, a DATE as RDATE or EXDATE stands for its midnight, too. As in the RFC, lines may be
folded and names may be in lower case.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from dateutil.rrule import weekday

from redbeat_core.schedules.recurrence.rule_parts import MINUTELY, MONTHLY
from redbeat_core.schedules.types.rrule import RANGES, WEEKDAYS, rrule
from redbeat_core.schedules.types.rrule_set import MAX_RULES, rrule_set

from .rrule_times import Property, read_times, read_until, stamp, write_times
from .tokens import ScheduleError, Word, did_you_mean, quoted

EXAMPLE = "FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9;BYMINUTE=0"

_LISTS = {name.upper(): name for name in RANGES}
_PARTS = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", *_LISTS)
_NAMES = ("DTSTART", "RRULE", "RDATE", "EXRULE", "EXDATE")
_TIMES = re.compile(r"\s*[^\s,]*(?:\s*,\s*[^\s,]*)*\s*")
_SETTINGS = re.compile(r'((?:;[^:\s"]*(?:"[^"\r\n]*"[^:\s"]*)*)?):')
_PROPERTY = re.compile(r"(?:^|(?<=\s))(DTSTART|RRULE|RDATE|EXDATE|EXRULE|DTEND|DURATION)\b", re.I)
#: Matches the end of a folded line, including the one blank that begins its continuation. A line
#: that begins with a property name is not a continuation, however far it is indented.
_FOLD = re.compile(r"\r?\n[ \t](?![ \t]{0,99}(?:DTSTART|RRULE|RDATE|EXDATE|EXRULE)[:;])", re.I)
_DAY = re.compile(r"([+-]?[0-9]{1,3})?([A-Z]+)", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}")


def looks_like_rule(text: str) -> bool:
    """Whether *text* looks like a rule of RFC 5545, valid or not."""
    return bool(_PROPERTY.match(text)) or re.match(r"[A-Za-z]+\s*=", text) is not None


def parse_rule(text: str, zone: tzinfo, now: datetime) -> rrule | rrule_set:
    """Parse *text* as a rule, or as a set of rules and dates.

    With a DTSTART, the rule is as RFC 5545 defines it. Without a DTSTART, the rule starts at *now*
    in *zone*, rounded down to the minute; with COUNT at the next minute, so that all runs are in
    the future. The minute is then 0 if BYHOUR is given without BYMINUTE.

    :param zone: the zone of local times without a TZID.
    :raises ScheduleError: *text* is invalid; the error has the column.
    """
    plain = _FOLD.sub("", text)
    try:
        return _parse(plain, zone, now)
    except ScheduleError as exc:
        if exc.column is None or plain == text:
            raise
        raise ScheduleError(str(exc), _folded(text, exc.column)) from None


def _folded(text: str, column: int) -> int:
    """Return the column in *text* for a *column* in the text without folds."""
    for fold in _FOLD.finditer(text):
        if fold.start() > column:
            break
        column += len(fold.group())
    return column


def _parse(text: str, zone: tzinfo, now: datetime) -> rrule | rrule_set:
    lines = _properties(text)
    named: dict[str, list[Property]] = {name: [] for name in _NAMES}
    for line in lines:
        named[line.name].append(line)
    if not named["RRULE"] and not named["RDATE"]:
        raise ScheduleError(f"the rule is missing: write one as in {EXAMPLE}", len(text))
    for name in ("RRULE", "EXRULE"):
        if len(named[name]) > MAX_RULES:
            raise named[name][MAX_RULES].value.error(
                f"there are {len(named[name])} {name}s; at most {MAX_RULES} are read"
            )
    rule_parts = [(line.value, _parts(line.value)) for line in named["RRULE"] + named["EXRULE"]]
    start: datetime | None = None
    allows_dates = False
    if named["DTSTART"]:
        (line, *more) = named["DTSTART"]
        if more:
            raise more[0].settings.error("there is more than one DTSTART")
        start = read_times(line, zone, dates=True)[0]
        zone = start.tzinfo or zone
        allows_dates = "T" not in line.value.text.upper()
    else:
        now = now.astimezone(zone).replace(second=0, microsecond=0)
        if any("COUNT" in parts for _, parts in rule_parts):
            now += timedelta(minutes=1)
    rules = [_rule(word, parts, start, now) for word, parts in rule_parts]
    count = len(named["RRULE"])
    if len(lines) - len(named["DTSTART"]) == count == 1:
        return rules[0]
    times = {
        name: [time for line in named[name] for time in read_times(line, zone, dates=allows_dates)]
        for name in ("RDATE", "EXDATE")
    }
    try:
        return rrule_set(rules[:count], times["RDATE"], rules[count:], times["EXDATE"])
    except ValueError as exc:
        raise ScheduleError(str(exc), lines[0].value.column) from None


def _rule(word: Word, parts: dict[str, Word], start: datetime | None, now: datetime) -> rrule:
    arguments: dict[str, Any] = {
        _LISTS[name]: _numbers(name, value) for name, value in parts.items() if name in _LISTS
    }
    freq = arguments["freq"] = _freq(parts.get("FREQ"), word)
    if "BYDAY" in parts:
        arguments["byweekday"] = _weekdays(parts["BYDAY"], freq)
    if "WKST" in parts:
        arguments["wkst"] = _weekday(parts["WKST"], parts["WKST"].text)
    for name, low in (("INTERVAL", 1), ("COUNT", 0)):
        if name in parts:
            arguments[name.lower()] = _within(low, name, parts[name])
    if start is None and "BYHOUR" in parts and "BYMINUTE" not in parts and freq < MINUTELY:
        arguments["byminute"] = 0
    dtstart = start or now
    if "UNTIL" in parts:
        arguments["until"] = read_until(parts["UNTIL"], dtstart.tzinfo or UTC)
    try:
        return rrule(dtstart=dtstart, **arguments)
    except ValueError as exc:
        raise word.error(str(exc)) from None


def _properties(text: str) -> list[Property]:
    """Split *text* into its properties.

    All properties may stand on one line, and a single rule needs no ``RRULE:``.
    """
    lines: list[Property] = []
    position = 0
    while position < len(text):
        head = _PROPERTY.match(text, position)
        name = head.group(1).upper() if head else "RRULE"
        if name not in _NAMES:
            raise ScheduleError(
                f"{name} is not supported: a schedule has {', '.join(_NAMES)}", position
            )
        settings = Word("", position)
        if head is not None:
            match = _SETTINGS.match(text, head.end())
            if match is None:
                raise _no_value(name, position, head.end())
            settings = Word(match.group(1), position if not match.group(1) else match.start(1))
            position = match.end()
        elif any(line.name == "RRULE" for line in lines):
            raise ScheduleError("write RRULE: before each of several rules", position)
        following = _PROPERTY.search(text, position)
        end = following.start() if following else len(text)
        if not name.endswith("RULE") and (times := _TIMES.match(text, position, end)):
            end = times.end()
        value = Word(text[position:end].rstrip(), position)
        if not value.text.strip():
            raise _no_value(name, settings.column, position)
        lines.append(Property(name, settings, value))
        position = end
    return lines


def _no_value(name: str, position: int, end: int) -> ScheduleError:
    if name.endswith("RULE"):
        return ScheduleError(f"write {name}:{EXAMPLE}", end)
    return ScheduleError(
        f"{name} needs a time, as in {name};TZID=Europe/Berlin:20260101T090000", position
    )


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
            raise word.error(f"{name} needs one value, and a semicolon behind it, as in {EXAMPLE}")
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


def _within(low: int, name: str, word: Word) -> int:
    number = _integer(name, word)
    if not low <= number < 2**31:
        raise word.error(f"{name} {number} is not within 1-{2**31 - 1}")
    return number


def _numbers(name: str, word: Word) -> list[int]:
    low, high, signed = RANGES[_LISTS[name]]
    numbers = []
    for piece in word.split(","):
        number = _integer(name, piece)
        if not (low <= number <= high or (signed and low <= -number <= high)):
            also = f" or -{high} to -{low}" if signed else ""
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
                f"BYDAY {quoted(piece.text)}: the number is not within 1-53 or -53 to -1"
            )
        if n and freq > MONTHLY:
            raise piece.error(
                f"BYDAY {piece.text} counts weekdays of a month or year: it needs FREQ=MONTHLY "
                "or FREQ=YEARLY"
            )
        days.append(weekday(day, n or None))
    return days


def format_rule(rule: rrule) -> str:
    """Return the text of *rule*, on one line; :func:`parse_rule` returns an equal rule for it."""
    return f"{write_times('DTSTART', [rule.recurrence.dtstart])} {_line('RRULE', rule)}"


def format_set(rules: rrule_set) -> str:
    """Return the text of *rules*, on one line; :func:`parse_rule` returns an equal set for it."""
    lines = [_line("RRULE", rule) for rule in rules.rules]
    lines += [_line("EXRULE", rule) for rule in rules.exrules]
    if lines:
        lines.insert(0, write_times("DTSTART", [rules.dtstart]))
    for name, dates in (("RDATE", rules.rdates), ("EXDATE", rules.exdates)):
        if dates:
            lines.append(write_times(name, dates))
    return " ".join(lines)


def _line(name: str, rule: rrule) -> str:
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
        out.append(f"UNTIL={stamp(rule.recurrence.until)}Z")
    for part, attribute in _LISTS.items():
        if numbers := getattr(parts, attribute):
            out.append(f"{part}={','.join(map(str, numbers))}")
        if attribute == "byweekno" and parts.byweekday:
            days = (f"{n or ''}{WEEKDAYS[day]}" for day, n in parts.byweekday)
            out.append(f"BYDAY={','.join(days)}")
    return f"{name}:{';'.join(out)}"
