"""Reads an entry's ``due`` field: who wrote its score, and for which nominal time. Pure."""

from __future__ import annotations

from math import isfinite

from .record import EntryRecord


def finite(text: str) -> float | None:
    """The number that *text* is; None for what is no number, or nan or infinite: a field of the
    hash may hold anything."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


def score_is_ours(record: EntryRecord) -> bool:
    """Whether this project wrote the entry's score, so that its nominal time is known."""
    if record.due is None or record.score is None:
        return False
    return finite(record.due.partition(" ")[0]) == record.score


def nominal_of(record: EntryRecord) -> float | None:
    """The nominal time of the run that is due next, in Unix seconds; None: not scheduled.

    Where another program wrote the score, that is all that is known of it.
    """
    score = record.score
    if score is None or score < 0 or record.due is None or " " not in record.due:
        return score
    written, _, nominal = record.due.partition(" ")
    known = finite(nominal)
    return known if known is not None and finite(written) == score else score


def finished_since(record: EntryRecord) -> float | None:
    """Since when (Unix seconds) there is no run to come, if this project found that; None: there
    may be one."""
    if record.score is None or record.score >= 0 or not score_is_ours(record):
        return None
    return finite((record.due or "").partition(" ")[2])
