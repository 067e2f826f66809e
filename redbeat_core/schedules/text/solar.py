"""Parses and formats solar schedules: ``sunrise 52.52 13.40``.

Pure. The two numbers are degrees north and east; with ``S`` or ``W`` they are south and west.
"""

from __future__ import annotations

import re

from celery.schedules import solar as celery_solar

from redbeat_core.schedules.types.solar import EVENTS, SolarUnavailableError, solar

from .tokens import ScheduleError, Word, did_you_mean, quoted, words

EXAMPLE = "sunrise 52.52 13.40"
_DEGREES = re.compile(
    r"([+-]?(?:\d{1,3}(?:\.\d{0,20})?|\.\d{1,20})(?:e[+-]?\d{1,3})?)\s*°?\s*([NSEW])?", re.I | re.A
)


def _event_of(text: str) -> str:
    return text.lower().replace("-", "_")


def looks_like_solar(first: str) -> bool:
    """Whether the first word looks like an event of the sun, valid or not."""
    name = _event_of(first)
    return name in EVENTS or name.startswith(("dawn", "dusk", "sun", "solar", "noon"))


def parse_solar(text: str) -> solar:
    """Parse *text* as a solar schedule.

    :raises ScheduleError: *text* is invalid; the error has the column.
    """
    first, *places = words(text.replace(",", " "))
    if places and places[0].text.lower() == "at":
        # `describe` writes "at" before the place, so accept it here too.
        places = places[1:]
    event = _event_of(first.text)
    if event not in EVENTS:
        hint = did_you_mean(event, [name.upper() for name in EVENTS]).lower()
        raise first.error(
            f"{quoted(first.text)} is no event of the sun, which are {', '.join(EVENTS)}{hint}"
        )
    # Accept "52.52 N" like "52.52N".
    joined: list[Word] = []
    for word in places:
        if joined and re.fullmatch("[NSEW]", word.text, re.IGNORECASE):
            joined[-1] = Word(joined[-1].text + word.text, joined[-1].column)
        else:
            joined.append(word)
    if joined:
        _degrees(joined[0], "NS", 89.9)
    if len(joined) != 2:
        raise ScheduleError(
            f"where? {event} needs degrees north and degrees east, as in {EXAMPLE}",
            joined[2].column if len(joined) > 2 else len(text),
        )
    lat, lon = _degrees(joined[0], "NS", 89.9), _degrees(joined[1], "EW", 180)
    try:
        return solar(event, lat, lon)
    except SolarUnavailableError as exc:
        raise first.error(str(exc)) from None


def _degrees(word: Word, signs: str, limit: float) -> float:
    match = _DEGREES.fullmatch(word.text)
    if match is None or (match.group(2) and match.group(2).upper() not in signs):
        raise word.error(
            f"{quoted(word.text)} are no degrees: write them as in 52.52, or 52.52{signs[0]}"
        )
    degrees = float(match.group(1)) * (-1 if (match.group(2) or "").upper() == signs[1] else 1)
    if abs(degrees) > limit:
        raise word.error(f"{quoted(word.text)} is not within -{limit} to {limit} degrees")
    return degrees


def format_solar(schedule: celery_solar) -> str:
    """Return the text of *schedule*; :func:`parse_solar` returns an equal schedule for it."""
    return f"{schedule.event} {_number(schedule.lat)} {_number(schedule.lon)}"


def _number(degrees: float) -> str:
    return f"{degrees:d}" if isinstance(degrees, int) else repr(float(degrees)).removesuffix(".0")
