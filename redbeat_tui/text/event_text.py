"""Events in words. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from typing import Any

from redbeat_core import events
from redbeat_core.entries.record import json_object

from .sanitize import clean

#: How much an event deserves to be looked at; what draws it makes a colour of it.
QUIET, GOOD, WARN, BAD = "quiet", "good", "warn", "bad"

Words = Callable[[Mapping[str, Any]], str]


def describe_event(event: events.Event) -> tuple[str, str]:
    """What happened, sanitized, and how much it deserves to be looked at."""
    if event.type not in _WORDS:
        # An event type that this version does not know.
        return clean(event.type.removeprefix("redbeat."), 40).replace(".", " "), QUIET
    words, weight = _WORDS[event.type]
    return words(event.data), weight


def clock(when: float, zone: tzinfo) -> str:
    """The time of day of *when* (Unix seconds) in *zone*."""
    try:
        return f"{datetime.fromtimestamp(when, zone):%H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return "--:--:--"


def _text(data: Mapping[str, Any], key: str, limit: int) -> str:
    value = data.get(key)
    return clean(value, limit) if isinstance(value, str) else ""


def _by(words: str) -> Words:
    def text(data: Mapping[str, Any]) -> str:
        actor, note = _text(data, "actor", 60), _text(data, "note", 200)
        return words + (f" by {actor}" if actor else "") + (f": {note}" if note else "")

    return text


def _because(words: str) -> Words:
    def text(data: Mapping[str, Any]) -> str:
        reason = _text(data, "reason", 300)
        return f"{words}: {reason}" if reason else words

    return text


def _not_run(kind: str) -> Words:
    told = _because(kind)

    def text(data: Mapping[str, Any]) -> str:
        count = data.get("count")
        if type(count) is int and count > 1:
            more = "more than " if data.get("more") is True else ""
            return f"{more}{count:,} runs {told(data)}"
        return told(data)

    return text


def _dispatched(data: Mapping[str, Any]) -> str:
    words = "dispatched on request" if data.get("trigger") else "dispatched"
    missed = data.get("missed")
    if isinstance(missed, int) and missed > 0:
        words += f", {missed} missed before"
    return words


def _requested(data: Mapping[str, Any]) -> str:
    words = "run requested"
    for key in ("args", "kwargs"):
        if key in data:
            words += f" with {key} {clean(json.dumps(data[key], ensure_ascii=False), 60)}"
    queue = _text(data, "queue", 60)
    return _by(words + (f" in queue {queue}" if queue else ""))(data)


def _errored(data: Mapping[str, Any]) -> str:
    fields = data.get("fields")
    text = fields.get("outcome") if isinstance(fields, dict) else None
    error = json_object(text if isinstance(text, str) else None).get("error")
    return f"failed: {clean(error, 300)}" if isinstance(error, str) and error else "failed"


def _leader(data: Mapping[str, Any]) -> str:
    if not data.get("leader"):
        return "nobody leads now"
    host, pid = _text(data, "host", 60), clean(str(data.get("pid")), 20)
    return f"{host}:{pid} leads" if host else "the leader changed"


_WORDS: Mapping[str, tuple[Words, str]] = {
    events.ENTRY_CREATED: (_by("created"), QUIET),
    events.ENTRY_UPDATED: (_by("changed"), QUIET),
    events.ENTRY_DELETED: (_by("deleted"), WARN),
    events.ENTRY_PAUSED: (_by("paused"), WARN),
    events.ENTRY_RESUMED: (_by("resumed"), QUIET),
    events.ENTRY_INVALID: (_because("cannot run"), BAD),
    events.ENTRY_FINISHED: (_by("has no run to come"), QUIET),
    events.RUN_REQUESTED: (_requested, QUIET),
    events.RUN_DISPATCHED: (_dispatched, QUIET),
    events.RUN_FAILED: (_because("could not be sent"), BAD),
    events.RUN_SKIPPED: (_not_run("skipped"), WARN),
    events.RUN_MISSED: (_not_run("missed"), WARN),
    events.RUN_STARTED: (_by("running"), QUIET),
    events.RUN_SUCCEEDED: (_by("succeeded"), GOOD),
    events.RUN_ERRORED: (_errored, BAD),
    events.RUN_RETRIED: (_by("is tried again"), WARN),
    events.RUN_REVOKED: (_by("revoked"), WARN),
    events.LEADER_CHANGED: (_leader, WARN),
}
