"""Formats numbers, names and durations in English, for the descriptions of schedules. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LONG_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: The most times of day that a description lists; it gives more as hours and minutes.
MAX_TIMES = 4


def duration(every: timedelta) -> str:
    """Return ``minute`` for 1 minute, ``5 minutes``, or ``1 hour 30 minutes``."""
    left = abs(every) // timedelta(microseconds=1)
    terms = []
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        number, left = divmod(left, size * 1_000_000)
        if number:
            terms.append(_count(str(number), unit))
    if left or not terms:
        terms.append(_count(f"{left / 1_000_000:.6f}".rstrip("0").rstrip("."), "second"))
    if len(terms) == 1:
        return terms[0].removeprefix("1 ")
    return " ".join(terms)


def _count(number: str, unit: str) -> str:
    return f"{number} {unit}" if number == "1" else f"{number} {unit}s"


def moment(local: datetime) -> str:
    """Return *local* as ``24 Dec 2026 at 18:00``, without its zone."""
    text = (
        f"{local.day} {MONTHS[local.month - 1]} {local.year} at {local.hour:02}:{local.minute:02}"
    )
    if local.second or local.microsecond:
        text += f":{local.second:02}"
    if local.microsecond:
        text += f".{local.microsecond:06}".rstrip("0")
    return text


#: From this many numbers at the same distance on, only the first three and the last are listed.
_MANY = 8


def ranges(numbers: Sequence[int], form: str = "") -> str:
    """Return ``1-5, 8`` for 1, 2, 3, 4, 5, 8; ``1, 3, 5 ... 31`` for many at the same distance."""
    steps = {high - low for low, high in pairwise(numbers)}
    if len(numbers) >= _MANY and len(steps) == 1 and steps != {1}:
        first = ", ".join(f"{number:{form}}" for number in numbers[:3])
        return f"{first} ... {numbers[-1]:{form}}"
    return ", ".join(
        f"{low:{form}}-{high:{form}}" if high > low else f"{low:{form}}"
        for low, high in _runs(numbers)
    )


def named_ranges(numbers: Sequence[int], names: Sequence[str]) -> str:
    """Return ``Mon, Wed-Fri`` for 0, 2, 3, 4."""
    return ", ".join(
        f"{names[low]}-{names[high]}" if high > low else names[low] for low, high in _runs(numbers)
    )


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and last of each run of consecutive numbers; two numbers are no run."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [
        pair
        for low, high in runs
        for pair in ([(low, high)] if high != low + 1 else [(low, low), (high, high)])
    ]


def join(terms: Sequence[str], word: str) -> str:
    """Return *terms* as ``a, b and c``, where *word* is ``and``."""
    return terms[0] if len(terms) == 1 else f"{', '.join(terms[:-1])} {word} {terms[-1]}"
