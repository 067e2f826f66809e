"""Reads an entry's ``due`` field: the score that this project wrote, and its nominal time. Pure."""

from __future__ import annotations

from math import isfinite

from .record import EntryRecord


def finite(text: str) -> float | None:
    """Return *text* as a finite number; None if it is not one.

    A field of the hash may hold any text, since other programs write to it.
    """
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


def score_is_ours(record: EntryRecord) -> bool:
    """Whether this project wrote the entry's score, so that ``due`` has its nominal time."""
    if record.due is None or record.score is None:
        return False
    return finite(record.due.partition(" ")[0]) == record.score


def nominal_of(record: EntryRecord) -> float | None:
    """Return the nominal time of the next run, in Unix seconds; None: not scheduled.

    If another program wrote the score, the score is the nominal time.
    """
    score = record.score
    if score is None or score < 0 or record.due is None or " " not in record.due:
        return score
    written_score, _, nominal_text = record.due.partition(" ")
    nominal = finite(nominal_text)
    return nominal if nominal is not None and finite(written_score) == score else score


def finished_since(record: EntryRecord) -> float | None:
    """Return the time (Unix seconds) at which this project finished the entry; None: it did not,
    so that the entry may have a next run."""
    if record.score is None or record.score >= 0 or not score_is_ours(record):
        return None
    return finite((record.due or "").partition(" ")[2])
