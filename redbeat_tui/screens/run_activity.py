"""Feeds the activity line: the stage of the run that the operator requested, or the last event."""

from __future__ import annotations

import time

from redbeat_core.operations import TRIGGER_EXPIRES
from redbeat_tui.console import Console
from redbeat_tui.live.requested_runs import REQUESTED, Run, TriggerFollower
from redbeat_tui.text.format import duration
from redbeat_tui.text.sanitize import clean

#: Seconds for which a run that has ended stays on the activity line.
LINGER = 6.0
#: Seconds after which the console warns that no beat has taken the request.
REMARK_AFTER = 10.0

#: The sentence about a request while no beat leads.
WAITS = f"The request waits for one, and expires after {duration(TRIGGER_EXPIRES)}."


class RunActivity:
    """Follows the runs that this console requested, by the events of the model."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._follower = TriggerFollower()
        self._shown: Run | None = None
        self._shown_until = float("inf")
        self._last_event: object = None

    def follow(self, trigger: str, name: str) -> None:
        """Show the stages of the run that was just requested."""
        self._show(self._follower.request(trigger, name, self._console.model.now()))

    def apply_events(self) -> None:
        """Apply the events that are new since the last call."""
        new = []
        for event in reversed(self._console.model.recent):
            if event is self._last_event:
                break
            new.append(event)
        if not new:
            return
        self._last_event = new[0]
        moved = self._follower.offer(reversed(new))
        shown = self._shown
        for run in moved:
            if shown is not None and run.trigger == shown.trigger:
                self._show(run)
        if self._shown is None:
            self._console.show_event(new[0])

    def age(self) -> None:
        """Stop showing a run after :data:`LINGER` or :data:`REMARK_AFTER` seconds."""
        run = self._shown
        if run is None or time.monotonic() < self._shown_until:
            return
        self._shown = None
        if run.stage == REQUESTED:
            name = clean(run.name, 60)
            self._console.say(f"No beat has taken the run of {name} yet. {WAITS}", "warning")

    def _show(self, run: Run) -> None:
        self._shown = run
        self._shown_until = time.monotonic() + (LINGER if run.ended else REMARK_AFTER)
        self._console.show_run(run)
        if run.ended:
            severity = "error" if run.unsuccessful else "information"
            detail = f": {clean(run.detail, 200)}" if run.detail else ""
            self._console.say(f"Run of {clean(run.name, 60)} {run.stage}{detail}.", severity)
