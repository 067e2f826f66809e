"""Formats times, durations and texts for the console and the command line. Pure.

Every function takes the present as an argument (Unix seconds, by the leader's clock), and returns
plain text without markup. Widths are terminal cells, not characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from math import ceil, floor, isfinite

from rich.cells import cell_len

from .sanitize import ELLIPSIS

NOTHING = "-"

#: An entry that is due is late once it has not been dispatched for this long, in seconds.
LATE_AFTER = 5.0

#: The widest text of :func:`countdown`, :func:`ago`, :func:`at` and :func:`status_text`, in cells.
COUNTDOWN_WIDTH = 12
AGO_WIDTH = 11
AT_WIDTH = 16
STATUS_WIDTH = 12

#: Each glyph takes one cell in every terminal: no terminal draws it as an emoji of two cells.
GLYPHS: Mapping[str, str] = {
    "succeeded": "✓",
    "failed": "✗",
    "invalid": "!",
    "late": "▲",
    "running": "►",
    "retrying": "↻",
    "revoked": "⊘",
    "dispatched": "→",
    "waiting": "·",
    "paused": "‖",
    "disabled": "○",
    "finished": "■",
}
ASCII_GLYPHS: Mapping[str, str] = {
    "succeeded": "+",
    "failed": "x",
    "invalid": "!",
    "late": "^",
    "running": ">",
    "retrying": "~",
    "revoked": "/",
    "dispatched": "-",
    "waiting": ".",
    "paused": "=",
    "disabled": "o",
    "finished": "#",
}


def status_text(status: str, *, ascii_only: bool = False) -> str:
    """Return a status as glyph and word: ``✓ succeeded``. The word alone is enough to read it."""
    glyph = (ASCII_GLYPHS if ascii_only else GLYPHS).get(status, "?")
    return f"{glyph} {status}"


def countdown(due: float | None, now: float) -> str:
    """Return the time until *due*: ``in 3m 12s``, ``now``, ``late 12s``; ``-`` without a due time.

    ``now`` lasts for :data:`LATE_AFTER` seconds: nothing is late before that.

    :param due: Unix seconds.
    """
    if due is None or not isfinite(due):
        return NOTHING
    left = due - now
    if left <= -LATE_AFTER:
        return f"late {duration(-left)}"
    # Rounded up, so that "in 1s" is followed by "now" at the due time and not before.
    return f"in {duration(ceil(left))}" if left > 0 else "now"


def ago(then: float | None, now: float) -> str:
    """Return the time since *then* (Unix seconds): ``12s ago``, ``3h 5m ago``; ``never`` for
    None."""
    if then is None or not isfinite(then):
        return "never"
    passed = now - then
    if passed < 1:  # negative where the other machine's clock is ahead
        return "now"
    if passed < 60:
        return f"{floor(passed)}s ago"
    if passed < 3600:
        return f"{floor(passed / 60)}m ago"
    return f"{duration(passed - passed % 60)} ago"


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units: ``12s``, ``3m 12s``, ``9d 4h``."""
    whole = max(0, floor(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return _pair(whole, 60, "m", 1, "s")
    if whole < 86400:
        return _pair(whole, 3600, "h", 60, "m")
    if whole < 100 * 86400:
        return _pair(whole, 86400, "d", 3600, "h")
    if whole < 1000 * 86400:
        return f"{whole // 86400}d"
    years = whole // (365 * 86400)
    return f"{years}y" if years < 10_000 else ">9999y"


def _pair(whole: int, large: int, large_name: str, small: int, small_name: str) -> str:
    rest = whole % large // small
    first = f"{whole // large}{large_name}"
    return f"{first} {rest}{small_name}" if rest else first


def at(when: float | None, now: float, zone: tzinfo = UTC) -> str:
    """Return *when* (Unix seconds) in the time zone *zone*: ``14:05:00`` for today,
    ``Mon 24 Nov 09:00`` for another day, ``2027-11-24 09:00`` for another year."""
    if when is None or not isfinite(when):
        return NOTHING
    try:
        local = datetime.fromtimestamp(when, zone)
        today = datetime.fromtimestamp(now, zone)
    except (ValueError, OverflowError, OSError):
        return NOTHING
    # Names of days and months are spelled here: strftime would follow the process's locale.
    clock = f"{local.hour:02}:{local.minute:02}"
    if local.date() == today.date():
        return f"{clock}:{local.second:02}"
    day = f"{local.day} {_MONTHS[local.month - 1]}"
    if local.year == today.year:
        return f"{_DAYS[local.weekday()]} {day} {clock}"
    return f"{local.year:04}-{local.month:02}-{local.day:02} {clock}"


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def timestamp(when: datetime | float | None, zone: tzinfo = UTC, *, fraction: bool = False) -> str:
    """Return date, time and zone, for the detail screen: ``Mon 2025-11-24 09:00:00 CET``.

    :param when: an aware datetime or Unix seconds.
    :param fraction: add the fraction of the second, unless it is zero.
    """
    if when is None:
        return NOTHING
    try:
        if not isinstance(when, datetime):
            when = datetime.fromtimestamp(when, zone)
        local = when.astimezone(zone)
    except (ValueError, OverflowError, OSError):
        return NOTHING
    parts = f".{local.microsecond:06}".rstrip("0").rstrip(".") if fraction else ""
    name = local.tzname() or ""
    return f"{_DAYS[local.weekday()]} {local:%Y-%m-%d %H:%M:%S}{parts} {name}".rstrip()


def width(text: str) -> int:
    """Return the number of cells that *text* takes."""
    return len(text) if text.isascii() else cell_len(text)


@lru_cache(maxsize=16384)
def fit(text: str, cells: int, *, right: bool = False, tail: bool = False) -> str:
    """Return *text* in exactly *cells* cells: cut with ``…`` or padded with spaces.

    :param right: align right.
    :param tail: cut the beginning off instead of the end.
    """
    cut = truncate_head(text, cells) if tail else truncate(text, cells)
    padding = " " * (cells - width(cut))
    return padding + cut if right else cut + padding


def truncate(text: str, cells: int) -> str:
    """Return *text* in at most *cells* cells; a text that was cut ends in ``…``.

    A wide character is never halved: the result may be one cell short.
    """
    if cells <= 0:
        return ""
    if text.isascii():
        return text if len(text) <= cells else text[: cells - 1] + ELLIPSIS
    if len(text) <= cells and cell_len(text) <= cells:
        return text
    room = cells - 1
    used = 0
    for index, char in enumerate(text):
        size = cell_len(char)
        if used + size > room:
            # The rest may be only combining marks on the last character, which take no cell.
            rest = text[index:]
            if len(rest) <= 4 * cells and used + cell_len(rest) <= cells:
                return text
            return text[:index] + ELLIPSIS
        used += size
    return text


def truncate_head(text: str, cells: int) -> str:
    """Return *text* in at most *cells* cells; ``…`` replaces a beginning that was cut off."""
    if cells <= 0:
        return ""
    if len(text) <= 4 * cells and width(text) <= cells:
        return text
    start = len(text)
    used = 1
    while start and used + width(text[start - 1]) <= cells:
        start -= 1
        used += width(text[start])
    # Combining marks belong to the character before them, which was cut off.
    while start < len(text) and not width(text[start]):
        start += 1
    return ELLIPSIS + text[start:]
