"""Describes events in a sentence each, for the activity line and the detail. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from typing import Any

from redbeat_core import events
from redbeat_core.entries.record import json_object

from .sanitize import clean

#: The severity of an event; widgets draw it as a colour.
QUIET = "quiet"
GOOD = "good"
WARN = "warn"
BAD = "bad"

#: Makes a text of an event's data.
_Describe = Callable[[Mapping[str, Any]], str]


def describe_event(event: events.Event) -> tuple[str, str]:
    """Return a sanitized text that describes *event*, and the event's severity."""
    if event.type not in _DESCRIPTIONS:
        # A newer version emits event types that this one has no text for.
        return clean(event.type.removeprefix("redbeat."), 40).replace(".", " "), QUIET
    describe, severity = _DESCRIPTIONS[event.type]
    return describe(event.data), severity


def clock(when: float, zone: tzinfo) -> str:
    """Return the time of day of *when* (Unix seconds) in *zone*."""
    try:
        return f"{datetime.fromtimestamp(when, zone):%H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return "--:--:--"


def _text(data: Mapping[str, Any], key: str, limit: int) -> str:
    value = data.get(key)
    return clean(value, limit) if isinstance(value, str) else ""


def _by(verb: str) -> _Describe:
    """Add the actor and the note of the event to *verb*."""

    def describe(data: Mapping[str, Any]) -> str:
        actor = _text(data, "actor", 60)
        note = _text(data, "note", 200)
        return verb + (f" by {actor}" if actor else "") + (f": {note}" if note else "")

    return describe


def _because(state: str) -> _Describe:
    """Add the reason of the event to *state*."""

    def describe(data: Mapping[str, Any]) -> str:
        reason = _text(data, "reason", 300)
        return f"{state}: {reason}" if reason else state

    return describe


def _not_run(state: str) -> _Describe:
    """Add the number of runs, where there are several, and the reason to *state*."""
    describe_one = _because(state)

    def describe(data: Mapping[str, Any]) -> str:
        count = data.get("count")
        if type(count) is int and count > 1:
            more = "more than " if data.get("more") is True else ""
            return f"{more}{count:,} runs {describe_one(data)}"
        return describe_one(data)

    return describe


def _outcome(status: str) -> _Describe:
    """Add the error that the worker reported to *status*."""

    def describe(data: Mapping[str, Any]) -> str:
        fields = data.get("fields")
        text = fields.get("outcome") if isinstance(fields, dict) else None
        error = json_object(text if isinstance(text, str) else None).get("error")
        return f"{status}: {clean(error, 300)}" if isinstance(error, str) and error else status

    return describe


def _dispatched(data: Mapping[str, Any]) -> str:
    text = "dispatched on request" if data.get("trigger") else "dispatched"
    missed = data.get("missed")
    if isinstance(missed, int) and missed > 0:
        text += f", {missed} missed before"
    return text


def _requested(data: Mapping[str, Any]) -> str:
    text = "run requested"
    for key in ("args", "kwargs"):
        if key in data:
            text += f" with {key} {clean(json.dumps(data[key], ensure_ascii=False), 60)}"
    queue = _text(data, "queue", 60)
    return _by(text + (f" in queue {queue}" if queue else ""))(data)


def _leader(data: Mapping[str, Any]) -> str:
    if not data.get("leader"):
        return "nobody leads now"
    host, pid = _text(data, "host", 60), clean(str(data.get("pid")), 20)
    return f"{host}:{pid} leads" if host else "the leader changed"


_DESCRIPTIONS: Mapping[str, tuple[_Describe, str]] = {
    events.ENTRY_CREATED: (_by("created"), QUIET),
    events.ENTRY_UPDATED: (_by("changed"), QUIET),
    events.ENTRY_DELETED: (_by("deleted"), WARN),
    events.ENTRY_PAUSED: (_by("paused"), WARN),
    events.ENTRY_RESUMED: (_by("resumed"), QUIET),
    events.ENTRY_INVALID: (_because("invalid"), BAD),
    events.ENTRY_FINISHED: (_by("finished"), QUIET),
    events.RUN_REQUESTED: (_requested, QUIET),
    events.RUN_DISPATCHED: (_dispatched, QUIET),
    events.RUN_FAILED: (_because("not published"), BAD),
    events.RUN_SKIPPED: (_not_run("skipped"), WARN),
    events.RUN_MISSED: (_not_run("missed"), WARN),
    events.RUN_STARTED: (_by("running"), QUIET),
    events.RUN_SUCCEEDED: (_by("succeeded"), GOOD),
    events.RUN_ERRORED: (_outcome("failed"), BAD),
    events.RUN_RETRIED: (_outcome("retrying"), WARN),
    events.RUN_REVOKED: (_outcome("revoked"), WARN),
    events.LEADER_CHANGED: (_leader, WARN),
}
