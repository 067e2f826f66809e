"""What differs between the entry that an operator saw and the entry that is there. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from redbeat_core.entries.record import json_object
from redbeat_core.entries.view import EntryView, Pause
from redbeat_core.schedules import describe

from .schedule_preview import schedule_text


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in two versions, in words. The texts are as Redis holds them."""

    what: str
    seen: str
    current: str


def differences(seen: EntryView, current: EntryView) -> list[Difference]:
    """What differs; never empty, because somebody asked."""
    pairs = [
        Difference("schedule", _schedule(seen), _schedule(current)),
        Difference("pause", _pause(seen.pause), _pause(current.pause)),
    ]
    before, after = json_object(seen.definition), json_object(current.definition)
    pairs += [
        Difference(str(key), _value(before, key), _value(after, key))
        for key in {**before, **after}
        if key != "schedule"
    ]
    pairs.append(Difference("problem", seen.error or "none", current.error or "none"))
    found = [pair for pair in pairs if pair.seen != pair.current]
    if not found and seen.definition != current.definition:
        found = [Difference("definition", seen.definition or "-", current.definition or "-")]
    return found or [
        Difference("version", seen.version[:12], f"{current.version[:12]} (changed and back)")
    ]


def _schedule(view: EntryView) -> str:
    if view.schedule is None:
        return "unreadable"
    text = schedule_text(view.schedule)
    words = describe(view.schedule)
    return f"{text}  ({words})" if text else words


def _pause(pause: Pause | None) -> str:
    if pause is None:
        return "not paused"
    return f"paused by {pause.by or 'somebody'}" + (f": {pause.note}" if pause.note else "")


def _value(definition: dict[str, Any], key: str) -> str:
    return json.dumps(definition[key], ensure_ascii=False) if key in definition else "not set"
