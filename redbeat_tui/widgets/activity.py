"""The line above the key bar: the last event, or the run that the operator requested, until that
run has ended."""

from __future__ import annotations

from datetime import tzinfo

from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from redbeat_core.events import Event
from redbeat_tui.live.requested_runs import (
    DISPATCHED,
    FAILED,
    REQUESTED,
    RETRYING,
    REVOKED,
    RUNNING,
    SUCCEEDED,
    Run,
)
from redbeat_tui.text.event_text import clock, describe_event
from redbeat_tui.text.format import GLYPHS
from redbeat_tui.text.sanitize import clean

from .line import Part, fit

#: Stage -> component class; every other stage is an end without success.
_STAGE_STYLES = {
    REQUESTED: "activity--warn",
    DISPATCHED: "activity--active",
    RUNNING: "activity--active",
    RETRYING: "activity--warn",
    SUCCEEDED: "activity--good",
    REVOKED: "activity--warn",
}
#: Severity of an event -> component class.
_EVENT_STYLES = {
    "quiet": "activity--dim",
    "good": "activity--dim",
    "warn": "activity--warn",
    "bad": "activity--bad",
}


class Activity(Widget):
    """Draws the run that the operator requested, or the last event."""

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
        """Show the stage of *run*.

        :param zone: the time zone of the time of day.
        """
        style = _STAGE_STYLES.get(run.stage, "activity--bad")
        if run.stage == REQUESTED:
            glyph = "◌"
            text = "run requested, waiting for the leader"
        else:
            glyph = GLYPHS.get(run.stage, GLYPHS[FAILED])
            text = run.stage
        parts = [
            (clock(run.at, zone), "activity--dim"),
            (f" {glyph} ", style),
            (clean(run.name, 200), ""),
            (f"  {text}", style),
        ]
        if run.detail:
            parts.append((f"  {clean(run.detail, 300)}", ""))
        elif run.task_id and run.stage == DISPATCHED:
            parts.append((f"  task {clean(run.task_id, 40)}", "activity--dim"))
        self._show(parts)

    def show_event(self, event: Event, zone: tzinfo) -> None:
        """Show the last event.

        :param zone: the time zone of the time of day.
        """
        text, severity = describe_event(event)
        parts = [
            (clock(event.time.timestamp(), zone), "activity--dim"),
            ("   ", ""),
            (clean(event.subject, 200), ""),
            (f"  {text}", _EVENT_STYLES[severity]),
        ]
        self._show(parts)

    def show_right(self, text: str) -> None:
        """Show *text* at the right end of the line."""
        if text != self._right:
            self._right = text
            self.refresh()

    def _show(self, parts: list[tuple[str, str]]) -> None:
        if parts != self._left:
            self._left = parts
            self.refresh()

    def render(self) -> Content:
        left = [
            Part(text, self._style(style), keep=12 if index == 2 else None)
            for index, (text, style) in enumerate(self._left)
        ]
        if len(left) > 3:
            left[-1] = Part(left[-1].text, left[-1].style, keep=8)
        right = [Part(self._right + " ", self._style("activity--dim"))]
        return fit([Part(" "), *left], right, self.size.width)

    def _style(self, name: str) -> Style:
        return self.get_visual_style(name, partial=True) if name else Style()
