"""Suggests a valid schedule text for a phrase in informal English, as in "every monday at 9am".

Pure. The suggestion is a text that :func:`.parsing.parse_schedule` reads. A caller shows it beside
the error; it is a guess, and never replaces the text that the user typed.
"""

from __future__ import annotations

import re

#: The longest phrase, in characters, that is matched; no suggestion is made for a longer text.
_MAX_LENGTH = 60
_DAYS = r"(mon|tue|wed|thu|fri|sat|sun)(?:day|sday|nesday|rsday|urday)?s?"
_TIME = r"(?:\s*,?\s*(?:at\s+)?(?:(noon|midnight)|(\d{1,2})(?:[:.](\d{2}))?\s*(am|pm|h|o'clock)?))?"
_NUMBERS = {
    "other": 2,
    "second": 2,
    **{
        word: number
        for number, word in enumerate(
            ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 1
        )
    },
    "twelve": 12,
    "fifteen": 15,
    "twenty": 20,
    "thirty": 30,
}
_ORDINALS = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "last": -1}
_ALIAS = re.compile(r"(?:every\s+)?(hourly|daily|midnight|weekly|monthly|yearly|annually)")
_COUNTED = re.compile(rf"every\s+({'|'.join(_NUMBERS)})\s+(second|minute|hour|day|week)s?")
_BARE = re.compile(r"(\d+)(?:\s*(?:seconds?|secs?))?")
_ON_DAYS = re.compile(
    rf"(?:weekly\s+)?(?:(?:each|every|on)\s+)?(?:(day|daily|weekday|weekend|workday)s?|{_DAYS}){_TIME}"
)
_AT_TIME = re.compile(rf"(?:at)?{_TIME}")
_NTH = re.compile(
    rf"(?:every\s+|on\s+|the\s+)*({'|'.join(_ORDINALS)})\s+(?:{_DAYS}|(day))"
    rf"\s+(?:of|in)\s+(?:the|each|every|a)?\s*month{_TIME}"
)
_EACH = re.compile(r"every\s+(month|year|quarter)")
_EACH_TEXT = {"month": "0 0 1 * *", "year": "0 0 1 1 *", "quarter": "0 0 1 */3 *"}
_NTH_UNIT = re.compile(r"every\s+(\d{1,3})(?:st|nd|rd|th)\s+(second|minute|hour|day|week)s?")
_ISO = re.compile(rf"(?:(?:once|at|on)\s+)*(\d{{4}})-(\d\d?)-(\d\d?){_TIME}")
_EUROPEAN = re.compile(rf"(?:(?:once|at|on)\s+)*(\d\d?)\.(\d\d?)\.(\d{{4}}){_TIME}")
_RULE = re.compile(r"(freq|by[a-z]+|count|interval|until|wkst)\s*[:=]", re.IGNORECASE)


def suggest_schedule(text: str) -> str:
    """Return a schedule text for the phrase *text*; empty if no pattern matches it."""
    phrase = " ".join(text.lower().split())
    if not phrase or len(phrase) > _MAX_LENGTH:
        return ""
    if _RULE.match(phrase):
        return _rule(phrase)
    if match := _ALIAS.fullmatch(phrase):
        return f"@{match[1]}"
    if match := _EACH.fullmatch(phrase):
        return _EACH_TEXT[match[1]]
    if match := _NTH_UNIT.fullmatch(phrase):
        return f"every {match[1]} {match[2]}s"
    if match := _ISO.fullmatch(phrase):
        year, month, day, *time = match.groups()
        return _single((year, month, day), time)
    if match := _EUROPEAN.fullmatch(phrase):
        day, month, year, *time = match.groups()
        return _single((year, month, day), time)
    if match := _COUNTED.fullmatch(phrase):
        return f"every {_NUMBERS[match[1]]} {match[2]}s"
    if match := _BARE.fullmatch(phrase):
        return f"every {match[1]}s" if 0 < int(match[1]) < 10**9 else ""
    if match := _NTH.fullmatch(phrase):
        number, day, _, *time = match.groups()
        return _nth(_ORDINALS[number], day, _clock(time))
    if match := _ON_DAYS.fullmatch(phrase):
        kind, day, *time = match.groups()
        return _crontab(_clock(time), day or _KINDS[kind])
    if (match := _AT_TIME.fullmatch(phrase)) and any(match.groups()):
        return _crontab(_clock(list(match.groups())), "*")
    return ""


_KINDS = {
    "day": "*",
    "daily": "*",
    "weekday": "mon-fri",
    "workday": "mon-fri",
    "weekend": "sat,sun",
}


def _clock(time: list[str | None]) -> tuple[int, int] | None:
    """Return hour and minute, 9:00 if the phrase has no time; None if the time is invalid."""
    name, hour, minute, half = time
    if name is not None:
        return (12, 0) if name == "noon" else (0, 0)
    if hour is None:
        return 9, 0
    hours, minutes = int(hour), int(minute or 0)
    if half in ("am", "pm"):
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + 12 * (half == "pm")
    return (hours, minutes) if hours < 24 and minutes < 60 else None


def _single(date: tuple[str, str, str], time: list[str | None]) -> str:
    clock, (year, month, day) = _clock(time), map(int, date)
    if clock is None or not any(time[:2]):
        return ""
    return f"at {year:04}-{month:02}-{day:02} {clock[0]:02}:{clock[1]:02}"


def _crontab(clock: tuple[int, int] | None, days: str) -> str:
    return "" if clock is None else f"{clock[1]} {clock[0]} * * {days}"


def _nth(number: int, day: str | None, clock: tuple[int, int] | None) -> str:
    if clock is None:
        return ""
    days = f"BYDAY={number}{day[:2].upper()}" if day else f"BYMONTHDAY={number}"
    minute = f";BYMINUTE={clock[1]}" if clock[1] else ""
    return f"FREQ=MONTHLY;{days};BYHOUR={clock[0]}{minute}"


def _rule(phrase: str) -> str:
    """Return the RRULE text of *phrase*, whose parts are separated by spaces or colons."""
    phrase = re.sub(r"\b(byhour\s*[:=]\s*\d\d?):(\d\d)\b", r"\1;byminute=\2", phrase)
    parts = re.split(r"[;\s]+", re.sub(r"\s*[:=]\s*", "=", phrase).upper())
    text = ";".join(part for part in parts if part)
    text = text.replace("FREQ=FORTNIGHTLY", "FREQ=WEEKLY;INTERVAL=2")
    return text.replace("FREQ=QUARTERLY", "FREQ=MONTHLY;INTERVAL=3")
