"""Parses and formats crontab lines: ``minute hour day-of-month month day-of-week``.

A field may hold what Celery's crontab accepts. The errors name the wrong part and a correct form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from celery.schedules import crontab

from redbeat_core.schedules.recurrence.zones import UnknownZoneError, find_zone
from redbeat_core.schedules.types.zoned_crontab import zoned_crontab

from .tokens import ScheduleError, Word, did_you_mean, quoted, words

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
NEVER_OCCURS = "the crontab never runs: no date matches its day, month and weekday"

_MONTHS = (
    "JANUARY",
    "FEBRUARY",
    "MARCH",
    "APRIL",
    "MAY",
    "JUNE",
    "JULY",
    "AUGUST",
    "SEPTEMBER",
    "OCTOBER",
    "NOVEMBER",
    "DECEMBER",
)
_DAYS = ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")


@dataclass(frozen=True, slots=True)
class _Field:
    argument: str
    label: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    hint: str = ""


_FIELDS = (
    _Field("minute", "minute", 0, 59),
    _Field("hour", "hour", 0, 23),
    _Field("day_of_month", "day of month", 1, 31),
    _Field("month_of_year", "month", 1, 12, _MONTHS),
    _Field("day_of_week", "day of week", 0, 6, _DAYS, ": Sunday is 0"),
)
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+/-]+|[A-Za-z]{2}[A-Za-z0-9_+-]*)|GB|NZ")
_MAX_ZONE_LENGTH = 100
_ITEM = re.compile(r"(\*|[A-Za-z0-9]+)(?:-([A-Za-z0-9]+))?(?:/([0-9]+))?")
_EXTENSIONS = {
    "?": "Celery does not support '?': write '*'",
    "#": "Celery does not support '#': write FREQ=MONTHLY;BYDAY=2TU for the second Tuesday",
    "L": "Celery does not support 'L': write FREQ=MONTHLY;BYMONTHDAY=-1 for the last day",
    "W": "Celery does not support 'W': write FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
}

#: The most values in a field: five times what the longest field needs, and fast to parse.
_MAX_ITEMS = 300

#: Matches the zone prefix of crond and Kubernetes.
_TZ = re.compile(r"(?:CRON_)?TZ=(?=\S)", re.IGNORECASE)


def has_zone_before(text: str) -> bool:
    """Whether *text* begins with ``CRON_TZ=`` or ``TZ=``."""
    return _TZ.match(text) is not None


def looks_like_crontab(text: str) -> bool:
    """Whether *text* looks like a crontab line, valid or not."""
    if len(text.split()) in (5, 6, 7) and re.search(r"[*0-9]", text):
        return True
    return has_zone_before(text) or text[0] in "@*0123456789?"


def parse_crontab(text: str) -> crontab:
    """Parse the crontab line *text*; the crontab keeps the text of its fields.

    With a zone after the fields, or as ``CRON_TZ=`` before them, it is a ``zoned_crontab``.

    :raises ScheduleError: the line is invalid or never occurs; the error has the column.
    """
    fields = words(text)
    zone: Word | None = None
    if prefix := _TZ.match(text):
        zone = Word(fields[0].text[prefix.end() :], prefix.end())
        del fields[0]
    if fields and fields[0].text.startswith("@"):
        line = ALIASES.get(fields[0].text.lower())
        if line is None:
            hint = did_you_mean(fields[0].text, [name.upper() for name in ALIASES]).lower()
            raise fields[0].error(f"{quoted(fields[0].text)} is none of {', '.join(ALIASES)}{hint}")
        fields = [*words(line), *fields[1:]]
    if zone is None and len(fields) == len(_FIELDS) + 1 and _names_zone(fields[-1].text):
        zone = fields.pop()
    if len(fields) != len(_FIELDS):
        raise _wrong_count(fields, text)
    arguments: dict[str, Any] = {}
    for field, word in zip(_FIELDS, fields, strict=True):
        items = word.split(",")
        if len(items) > _MAX_ITEMS:
            most = f"at most {_MAX_ITEMS} are read"
            raise word.error(f"{field.label} has {len(items)} values; {most}")
        for item in items:
            _check(field, item)
        arguments[field.argument] = _numbered(field, word.text)
    if zone is not None:
        try:
            arguments["tz"] = find_zone(zone.text)
        except UnknownZoneError as exc:
            raise zone.error(str(exc)) from None
    try:
        return crontab(**arguments) if zone is None else zoned_crontab(**arguments)
    except ValueError:
        raise ScheduleError(NEVER_OCCURS, fields[2].column) from None


def _names_zone(text: str) -> bool:
    """Whether the sixth word *text* looks like the name of a time zone."""
    # The limit of the length bounds the time of the match, which may backtrack at each letter.
    return len(text) <= _MAX_ZONE_LENGTH and _ZONE.fullmatch(text) is not None


def _numbered(field: _Field, text: str) -> str:
    """Return *text* with months as numbers, because Celery before 5.5 rejects their names."""
    if field.names is not _MONTHS:
        return text
    short = {name[:3]: str(number) for number, name in enumerate(_MONTHS, 1)}
    return re.sub("[A-Za-z]+", lambda match: short[match.group()[:3].upper()], text)


def _wrong_count(fields: list[Word], text: str) -> ScheduleError:
    more = "; seconds are for 'every 30s' or FREQ=MINUTELY;BYSECOND=0,30"
    return ScheduleError(
        f"a crontab has five fields, minute hour day-of-month month day-of-week: "
        f"this has {len(fields)}" + (more if len(fields) == 6 else ""),
        fields[5].column if len(fields) > 5 else len(text),
    )


def _check(field: _Field, item: Word) -> None:
    text = item.text
    if not text:
        raise item.error(f"{field.label}: there is nothing between the commas")
    match = _ITEM.fullmatch(text)
    hint = next((_EXTENSIONS[sign] for sign in "?#" if sign in text), None)
    if re.fullmatch(r"[0-9]*[LW]", text, re.IGNORECASE):
        hint = _EXTENSIONS[text[-1].upper()]
    if hint is not None:
        raise item.error(f"{field.label}: {hint}")
    if match is None or (match.group(1) == "*" and match.group(2)):
        raise item.error(
            f"{field.label} {quoted(text)} is not understood: write {field.low}, *, */2, "
            f"{field.low}-{field.high} or a list with commas"
        )
    first, last, step = match.groups()
    for value in (first, last):
        if value and value != "*":
            _number(field, item, value)
    if step is None:
        return
    if first != "*" and last is None:
        raise item.error(
            f"{field.label} {quoted(text)}: a step needs a range, as in "
            f"{first}-{field.high}/{step} or */{step}"
        )
    if not 1 <= int(step[:9]) <= field.high - field.low + 1:
        raise item.error(
            f"{field.label}: the step {quoted(step)} is not within "
            f"1-{field.high - field.low + 1}; "
            "for other distances write an interval, as in 'every 90m'"
        )


def _number(field: _Field, item: Word, text: str) -> None:
    if text.isdigit():
        if len(text) > 9 or not field.low <= int(text) <= field.high:
            raise item.error(
                f"{field.label} {text[:20]} is not within {field.low}-{field.high}{field.hint}"
            )
        return
    if not field.names:
        raise item.error(f"{field.label} {quoted(text)} is no number: {field.low}-{field.high}")
    if len(text) < 3 or not any(name.startswith(text.upper()) for name in field.names):
        short = [name[:3] for name in field.names]
        raise item.error(
            f"{quoted(text)} is no {field.label}: it is one of {', '.join(short).lower()} "
            f"or {field.low}-{field.high}" + did_you_mean(text[:3], short).lower()
        )


def format_crontab(schedule: crontab) -> str:
    """Return the line of *schedule*; :func:`parse_crontab` returns an equal crontab for it."""
    line = crontab_fields(schedule)
    return f"{line} {schedule.zone}" if isinstance(schedule, zoned_crontab) else line


def crontab_fields(schedule: crontab) -> str:
    """Return the five fields of *schedule*, without a zone."""
    return " ".join(_field_text(field, schedule) for field in _FIELDS)


def _field_text(field: _Field, schedule: crontab) -> str:
    given = getattr(schedule, f"_orig_{field.argument}")
    if isinstance(given, str):
        text = re.sub(r"\s+", "", given)
        try:
            for item in Word(text, 0).split(","):
                _check(field, item)
        except ScheduleError:
            pass  # Celery accepts more than it documents; the numbers below are equivalent
        else:
            return text
    return ",".join(map(str, sorted(getattr(schedule, field.argument))))
