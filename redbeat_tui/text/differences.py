"""Compares the entry that an operator saw with the entry that Redis holds now. Pure."""

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
    """One part of an entry in both versions, as text. Sanitize before drawing: the texts are as
    Redis holds them.

    :ivar what: the name of the part.
    """

    what: str
    seen: str
    current: str


def differences(seen: EntryView, current: EntryView) -> list[Difference]:
    """Return the differences, at least one: where no part differs, the versions do."""
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
    different = [pair for pair in pairs if pair.seen != pair.current]
    if not different and seen.definition != current.definition:
        different = [Difference("definition", seen.definition or "-", current.definition or "-")]
    return different or [
        Difference("version", seen.version[:12], f"{current.version[:12]} (changed and back)")
    ]


def _schedule(view: EntryView) -> str:
    if view.schedule is None:
        return "unreadable"
    text = schedule_text(view.schedule)
    description = describe(view.schedule)
    return f"{text}  ({description})" if text else description


def _pause(pause: Pause | None) -> str:
    if pause is None:
        return "not paused"
    return f"paused by {pause.by or 'somebody'}" + (f": {pause.note}" if pause.note else "")


def _value(definition: dict[str, Any], key: str) -> str:
    return json.dumps(definition[key], ensure_ascii=False) if key in definition else "not set"
