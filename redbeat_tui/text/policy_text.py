"""Describes an entry's policy, and why no run follows, in English. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import Any

from celery.schedules import schedule

from redbeat_core.entries.policy import PolicyError, members_of
from redbeat_core.entries.view import Counts, EntryView
from redbeat_core.schedules import format_schedule

from .format import ago, timestamp
from .sanitize import clean


def policy_lines(text: str | None, zone: tzinfo) -> list[str]:
    """Describe each member of the field ``policy`` of an entry in a line; no line when the entry
    has no policy.

    :param zone: the time zone of the times in the text.
    """
    try:
        members = members_of(text)
    except PolicyError as exc:
        return [clean(str(exc), 300)]
    return [_describe(name, value, zone) for name, value in members.items()]


def counts_text(counts: Counts) -> str:
    """Return how many nominal times got no run; empty when all of them got one."""
    numbers = (("missed", counts.missed), ("skipped", counts.skipped))
    return ", ".join(f"{number:,} {kind}" for kind, number in numbers if number)


def no_run_because(view: EntryView, now: float) -> str:
    """Return why no run of *view* is scheduled, by the word of its status; empty when there is
    a next run.

    :param now: Unix seconds.
    """
    if view.error:
        return "it is invalid"
    if view.pause is not None:
        return "it is paused"
    if not view.enabled:
        return "it is disabled"
    if not view.finished:
        return ""
    limit = over_because(view, now)
    return f"it is finished: {limit}" if limit else "it is finished"


def over_because(view: EntryView, now: float) -> str:
    """Return which limit of the policy allows no further run; empty when no limit does.

    :param now: Unix seconds.
    """
    policy = view.policy
    if policy.max_runs is not None and view.total_run_count >= policy.max_runs:
        return f"it has made the {_runs(policy.max_runs)} that its policy allows"
    if policy.end is not None and policy.end < now:
        return f"its policy ended it {ago(policy.end, now)}"
    return ""


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number:,} runs"


def length(seconds: float) -> str:
    """Return the exact length of time as text that can be typed: ``90s``, ``1h30m``."""
    if not seconds:
        return "0s"
    every = schedule(timedelta(seconds=seconds))
    return format_schedule(every).removeprefix("every ")


def _instant(seconds: float, zone: tzinfo) -> str:
    return timestamp(datetime.fromtimestamp(seconds, zone), zone)


def _describe(name: str, value: Any, zone: tzinfo) -> str:
    """Describe one member of a policy."""
    match name:
        case "catchup":
            return _CATCHUP[value]
        case "catchup_limit":
            return f"makes up for at most {_runs(value)}"
        case "grace":
            return (
                "however late" if value is None else f"missed when more than {length(value)} late"
            )
        case "jitter":
            return f"put off by up to {length(value)}" if value else "not put off"
        case "start":
            return "from any time on" if value is None else f"from {_instant(value, zone)}"
        case "end":
            return "without end" if value is None else f"until {_instant(value, zone)}"
        case "max_runs":
            return "any number of runs" if value is None else f"at most {_runs(value)}"
        case "keep_finished":
            return (
                "kept when finished"
                if value is None
                else f"deleted {length(value)} after it finished"
            )
        case _:
            return _CLOCK_CHANGES[name, value]


_CATCHUP = {
    "one": "one run stands for all that were missed",
    "all": "missed runs are made up for",
    "skip": "missed runs are skipped, but for the newest",
}
_CLOCK_CHANGES = {
    ("nonexistent", "shift"): "a local time that does not exist moves on",
    ("nonexistent", "skip"): "a local time that does not exist is left out",
    ("ambiguous", "first"): "a local time that comes twice runs the first time",
    ("ambiguous", "last"): "a local time that comes twice runs the last time",
    ("ambiguous", "both"): "a local time that comes twice runs both times",
}
