"""The line above the keys: what happens now. A run that was asked for stays until it has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from typing import Any

from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from redbeat_core import events

from ..following import DISPATCHED, FAILED, REQUESTED, RUNNING, SUCCEEDED, Run
from ..sanitize import clean
from .line import Part, fit

#: Stage -> glyph, words, component class.
_STAGES = {
    REQUESTED: ("◌", "run requested, waiting for the leader", "activity--warn"),
    DISPATCHED: ("→", "dispatched", "activity--active"),
    RUNNING: ("▶", "running", "activity--active"),
    SUCCEEDED: ("✓", "succeeded", "activity--good"),
    FAILED: ("✗", "failed", "activity--bad"),
}


class Activity(Widget):
    """Draws the run that an operator asked for, or the last event."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES = {
        "activity--dim",
        "activity--good",
        "activity--bad",
        "activity--warn",
        "activity--active",
    }

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._left: list[tuple[str, str]] = []
        self._right = ""
        self._cut = 0

    def show_run(self, run: Run, zone: tzinfo) -> None:
        """Show how far *run* is."""
        glyph, words, look = _STAGES[run.stage]
        parts = [
            (_clock(run.at, zone), "activity--dim"),
            (f" {glyph} ", look),
            (clean(run.name, 200), ""),
            (f"  {words}", look),
        ]
        if run.detail:
            parts.append((f"  {clean(run.detail, 300)}", ""))
        elif run.task_id and run.stage == DISPATCHED:
            parts.append((f"  task {clean(run.task_id, 40)}", "activity--dim"))
        self._show(parts)

    def show_event(self, event: events.Event, zone: tzinfo) -> None:
        """Show the last thing that happened."""
        words, look = _WORDS.get(event.type, (_plain(event.type), ""))
        parts = [
            (_clock(event.time.timestamp(), zone), "activity--dim"),
            ("   ", ""),
            (clean(event.subject, 200), ""),
            (f"  {words(event.data) if callable(words) else words}", look or "activity--dim"),
        ]
        self._show(parts)

    def show_right(self, text: str) -> None:
        """Show *text* at the right end."""
        if text != self._right:
            self._right = text
            self.refresh()

    def _show(self, parts: list[tuple[str, str]]) -> None:
        if parts != self._left:
            self._left = parts
            self.refresh()

    def render(self) -> Content:
        left = [
            Part(text, self._look(look), keep=6 if index == 2 else None)
            for index, (text, look) in enumerate(self._left)
        ]
        if len(left) > 4:
            left[4] = Part(left[4].text, left[4].style, keep=8)
        right = [Part(self._right + " ", self._look("activity--dim"))]
        return fit([Part(" "), *left], right, self.size.width)

    def _look(self, name: str) -> Style:
        return self.get_visual_style(name, partial=True) if name else Style()


def _clock(when: float, zone: tzinfo) -> str:
    try:
        return f"{datetime.fromtimestamp(when, zone):%H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return "--:--:--"


def _plain(type_: str) -> str:
    """An event type that this version does not know, as words."""
    return clean(type_.removeprefix("redbeat."), 40).replace(".", " ")


def _by(words: str) -> Callable[[Mapping[str, Any]], str]:
    def text(data: Mapping[str, Any]) -> str:
        actor, note = data.get("actor"), data.get("note")
        by = f" by {clean(actor, 60)}" if isinstance(actor, str) and actor else ""
        why = f": {clean(note, 120)}" if isinstance(note, str) and note else ""
        return words + by + why

    return text


def _because(words: str) -> Callable[[Mapping[str, Any]], str]:
    def text(data: Mapping[str, Any]) -> str:
        reason = data.get("reason")
        return f"{words}: {clean(reason, 200)}" if isinstance(reason, str) and reason else words

    return text


_WORDS: Mapping[str, tuple[str | Callable[[Mapping[str, Any]], str], str]] = {
    events.ENTRY_CREATED: (_by("created"), ""),
    events.ENTRY_UPDATED: (_by("changed"), ""),
    events.ENTRY_DELETED: (_by("deleted"), "activity--warn"),
    events.ENTRY_PAUSED: (_by("paused"), "activity--warn"),
    events.ENTRY_RESUMED: (_by("resumed"), ""),
    events.ENTRY_INVALID: (_because("cannot run"), "activity--bad"),
    events.ENTRY_FINISHED: ("has no run to come", ""),
    events.RUN_REQUESTED: (_by("run requested"), ""),
    events.RUN_DISPATCHED: ("dispatched", ""),
    events.RUN_FAILED: (_because("could not be sent"), "activity--bad"),
    events.RUN_SKIPPED: (_because("skipped"), "activity--warn"),
    events.RUN_MISSED: (_because("missed"), "activity--warn"),
    events.RUN_STARTED: ("running", ""),
    events.RUN_SUCCEEDED: ("succeeded", ""),
    events.RUN_ERRORED: ("failed", "activity--bad"),
    events.RUN_RETRIED: ("is tried again", "activity--warn"),
    events.RUN_REVOKED: ("revoked", "activity--warn"),
    events.LEADER_CHANGED: (_because("the leader changed"), "activity--warn"),
}
