"""An entry's policy in words. Pure."""

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
    """What the field ``policy`` of an entry says, a line each; empty when it has none.

    :param zone: whose clock times are told in.
    """
    try:
        members = members_of(text)
    except PolicyError as exc:
        return [clean(str(exc), 300)]
    return [_words(name, value, zone) for name, value in members.items()]


def counts_text(counts: Counts) -> str:
    """How many nominal times got no run; empty when all did."""
    told = (("missed", counts.missed), ("skipped", counts.skipped))
    return ", ".join(f"{number:,} {kind}" for kind, number in told if number)


def over_because(view: EntryView, now: float) -> str:
    """Which limit of the policy left no run to come; empty when none did.

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
    """A length of time, exact, as it is typed: ``90s``, ``1h30m``."""
    if not seconds:
        return "0s"
    every = schedule(timedelta(seconds=seconds))
    return format_schedule(every).removeprefix("every ")


def _moment(seconds: float, zone: tzinfo) -> str:
    return timestamp(datetime.fromtimestamp(seconds, zone), zone)


def _words(name: str, value: Any, zone: tzinfo) -> str:
    """What a member of a policy says."""
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
            return "from any time on" if value is None else f"from {_moment(value, zone)}"
        case "end":
            return "without end" if value is None else f"until {_moment(value, zone)}"
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
