"""Compares schedules with each other and with their text. Pure."""

from __future__ import annotations

from typing import Any

from redbeat_core.schedules.types.rrule import rrule

from .parse import format_schedule, parse_schedule


def started_as(of_the_code: Any, stored: Any) -> Any:
    """Return the code's schedule, with the start of the stored one if nothing else differs.

    A rule without a dtstart gets a new start each time the code is loaded. That is no change of
    the rule.
    """
    if isinstance(of_the_code, rrule) and isinstance(stored, rrule):
        restarted = of_the_code.starting_as(stored)
        if restarted == stored:
            return restarted
    return of_the_code


def is_text_of(of_the_code: Any, text: object) -> bool:
    """Whether :func:`format_or_repr` returned *text* for this schedule at some time."""
    if format_or_repr(of_the_code) == text:
        return True
    try:
        previous = parse_schedule(str(text))
    except ValueError:
        return False
    return bool(started_as(of_the_code, previous) == previous)


def format_or_repr(schedule: Any) -> str:
    """Return a text of *schedule* to compare it with another one; its repr if it has no text."""
    try:
        return format_schedule(schedule)
    except (ValueError, TypeError):
        return repr(schedule)
