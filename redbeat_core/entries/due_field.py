"""Reads an entry's ``due`` field: who wrote the score, and for which nominal time. Pure."""

from __future__ import annotations

from math import isfinite

from .record import EntryRecord


def finite(text: str) -> float | None:
    """Return *text* as a number; None where it is no number, or not finite: a field of the hash may
    hold any text.
    """
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
    """Return the nominal time of the run that is due next, in Unix seconds; None: not scheduled.

    Where another program wrote the score, the score is returned: nothing else is known.
    """
    score = record.score
    if score is None or score < 0 or record.due is None or " " not in record.due:
        return score
    written, _, nominal = record.due.partition(" ")
    nominal_seconds = finite(nominal)
    return nominal_seconds if nominal_seconds is not None and finite(written) == score else score


def finished_since(record: EntryRecord) -> float | None:
    """Return since when (Unix seconds) the entry has no further run, if this project wrote that;
    else None.
    """
    if record.score is None or record.score >= 0 or not score_is_ours(record):
        return None
    return finite((record.due or "").partition(" ")[2])
