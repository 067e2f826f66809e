"""The line above the keys: what happens now. A run that was asked for stays until it has ended."""

from __future__ import annotations

from datetime import tzinfo

from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from redbeat_core.events import Event
from redbeat_tui.live.requested_runs import DISPATCHED, FAILED, REQUESTED, RUNNING, SUCCEEDED, Run
from redbeat_tui.text.event_text import clock, describe_event
from redbeat_tui.text.sanitize import clean

from .line import Part, fit

#: Stage -> glyph, words, component class.
_STAGES = {
    REQUESTED: ("◌", "run requested, waiting for the leader", "activity--warn"),
    DISPATCHED: ("→", "dispatched", "activity--active"),
    RUNNING: ("▶", "running", "activity--active"),
    SUCCEEDED: ("✓", "succeeded", "activity--good"),
    FAILED: ("✗", "failed", "activity--bad"),
}
_LOOKS = {
    "quiet": "activity--dim",
    "good": "activity--dim",
    "warn": "activity--warn",
    "bad": "activity--bad",
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
            (clock(run.at, zone), "activity--dim"),
            (f" {glyph} ", look),
            (clean(run.name, 200), ""),
            (f"  {words}", look),
        ]
        if run.detail:
            parts.append((f"  {clean(run.detail, 300)}", ""))
        elif run.task_id and run.stage == DISPATCHED:
            parts.append((f"  task {clean(run.task_id, 40)}", "activity--dim"))
        self._show(parts)

    def show_event(self, event: Event, zone: tzinfo) -> None:
        """Show the last thing that happened."""
        words, weight = describe_event(event)
        parts = [
            (clock(event.time.timestamp(), zone), "activity--dim"),
            ("   ", ""),
            (clean(event.subject, 200), ""),
            (f"  {words}", _LOOKS[weight]),
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
            Part(text, self._look(look), keep=12 if index == 2 else None)
            for index, (text, look) in enumerate(self._left)
        ]
        if len(left) > 3:
            left[-1] = Part(left[-1].text, left[-1].style, keep=8)
        right = [Part(self._right + " ", self._look("activity--dim"))]
        return fit([Part(" "), *left], right, self.size.width)

    def _look(self, name: str) -> Style:
        return self.get_visual_style(name, partial=True) if name else Style()
