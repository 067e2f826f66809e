"""The screen of one entry: its status, last run, next runs, events and definition."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from redbeat_core.entries.view import EntryView
from redbeat_core.schedules import Outlook
from redbeat_tui.console import Console, HeaderOutdated, console_of
from redbeat_tui.live.model import Delta
from redbeat_tui.live.row import Row, outcome_status
from redbeat_tui.text.event_text import clock, describe_event
from redbeat_tui.text.format import ago, countdown, duration, status_text, timestamp
from redbeat_tui.text.policy_text import counts_text, no_run_because, policy_lines
from redbeat_tui.text.sanitize import clean, clean_lines
from redbeat_tui.text.schedule_preview import next_runs, pace, schedule_text
from redbeat_tui.threads import in_thread
from redbeat_tui.widgets.header import ConsoleHeader
from redbeat_tui.widgets.key_bar import KeyBar

#: The number of latest events that are shown.
LATELY = 8
#: Adds a line to the facts: label, text, style.
_Line = Callable[..., None]


class DetailScreen(Screen[None]):
    """The screen of one entry, which follows the entry's changes."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]
    BINDINGS = [
        Binding("j", "scroll(1)", show=False),
        Binding("k", "scroll(-1)", show=False),
        Binding("backspace,left", "app.perform('back')", show=False),
    ]

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.entry_name = row.name
        self._row: Row | None = row
        self._runs: tuple[str, Outlook | None] | None = None

    @property
    def console(self) -> Console:
        """The part of the app that this screen may use."""
        return console_of(self)

    def compose(self) -> ComposeResult:
        yield ConsoleHeader()
        with VerticalScroll(id="detail"):
            yield Static(markup=False, id="detail-title")
            with Container(id="detail-columns"):
                yield Static(markup=False, id="detail-facts")
                yield Static(markup=False, id="detail-definition")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self.query_one("#detail").focus()
        self.query_one("#detail-definition").border_title = "definition"
        self.post_message(HeaderOutdated())
        self._draw()

    @property
    def row(self) -> Row | None:
        """The entry's row; None after the entry was deleted."""
        return self._row

    def follow(self, delta: Delta) -> None:
        """Apply a change of the model."""
        if delta.all or self.entry_name in delta.changed or self.entry_name in delta.removed:
            self._row = self.console.model.rows.get(self.entry_name)
            self._draw()

    def tick(self) -> None:
        """Update the texts that depend on the present, once a second."""
        if self._row is not None:
            self._draw_facts(self._row.view, self._row)

    def action_scroll(self, lines: int) -> None:
        """Scroll the page."""
        self.query_one("#detail").scroll_relative(y=lines, animate=False)

    def _draw(self) -> None:
        row = self._row
        title = self.query_one("#detail-title", Static)
        columns = self.query_one("#detail-columns")
        columns.display = row is not None
        if row is None:
            title.update(Text(f"{clean(self.entry_name, 400)}\n\n✗ deleted: it is gone. esc: back"))
            return
        view = row.view
        title.update(Text(clean(row.name, 400), style="bold"))
        self._draw_facts(view, row)
        self.query_one("#detail-definition", Static).update(_definition(view))
        key = f"{row.version} {view.next_run_at}"
        if self._runs is None or self._runs[0] != key:
            self._runs = (key, None)
            self.run_worker(self._compute_runs(key, view), exit_on_error=False, group="runs")

    async def _compute_runs(self, key: str, view: EntryView) -> None:
        record = self._row.record if self._row is not None else None
        first = view.next_run_at
        if record is None or first is None:
            return
        now = datetime.fromtimestamp(self.console.model.now(), UTC)
        try:
            runs = await in_thread(lambda: next_runs(record, view, now))
        except Exception:
            # Redis holds the first run; the later ones cannot be computed, and are left out.
            runs = Outlook("", (first,), None, complete=True)
        if self._runs is not None and self._runs[0] == key:
            self._runs = (key, runs)
            self.tick()

    def _draw_facts(self, view: EntryView, row: Row) -> None:
        self.query_one("#detail-facts", Static).update(self._facts(view, row))

    def _facts(self, view: EntryView, row: Row) -> Table:
        zone = self.console.zone
        now = self.console.model.now()
        judged = self.console.judged
        status = row.status_at(judged)
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(width=10)
        table.add_column(ratio=1, overflow="fold")

        def line(label: str, text: str, style: str = "") -> None:
            table.add_row(Text(label, style="dim"), Text(text, style=style))

        colour = self.console.status_style(status)
        line("status", status_text(status), colour)
        reason = row.reason_at(judged) if view.pause is None else ""
        if reason:
            line("", clean(reason, 1000), colour)
        if view.schedule is not None:
            line("schedule", clean(row.facts.schedule, 300))
            text = clean(schedule_text(view.schedule), 500)
            if text and text != row.facts.schedule:
                line("", text, "dim")
        if members := policy_lines(row.record.policy, zone):
            line("policy", " · ".join(members))
        for warning in view.warnings:
            if warning.text != reason:
                line("warning", clean(warning.text, 300), self.console.status_style("late"))
            if warning.edit:
                line("", f"edit it (e) to: {clean(warning.edit, 500)}", "dim")
        line("task", clean(view.task, 300) or "-")
        for label, value in (("args", view.args), ("kwargs", view.kwargs)):
            if value:
                line(label, clean(_json(value), 500))
        if view.options:
            line("options", clean(_json(dict(view.options)), 500))
        if not view.enabled and view.pause is None:
            line("enabled", "no: disabled in its definition")
        if view.pause is not None:
            when = f", {ago(view.pause.at.timestamp(), now)}" if view.pause.at else ""
            line("paused", f"by {clean(view.pause.by or 'somebody')}{when}")
            if view.pause.note:
                line("", f"“{clean(view.pause.note, 500)}”")
        if view.override:
            line("override", _override(view.override, now))
        line("", "")
        self._last_run(view, line, now, zone, reason=reason)
        line("", "")
        self._next_runs(view, line, now, zone)
        self._latest_events(line, zone)
        return table

    def _latest_events(self, line: _Line, zone: tzinfo) -> None:
        events = [event for event in self.console.model.recent if event.subject == self.entry_name]
        if events:
            line("", "")
        for index, event in enumerate(reversed(events[-LATELY:])):
            description, severity = describe_event(event)
            text = f"{clock(event.time.timestamp(), zone)}  {description}"
            line("lately" if index == 0 else "", text, self.console.status_style(severity))

    def _last_run(
        self, view: EntryView, line: _Line, now: float, zone: tzinfo, *, reason: str
    ) -> None:
        """Add the lines about the last run.

        :param reason: already shown beside the status, so an equal error is not repeated.
        """
        last = view.last_run_at.timestamp() if view.last_run_at and view.total_run_count else None
        if last is None:
            line("last run", "never")
        else:
            line("last run", f"{timestamp(last, zone)}  {ago(last, now)}")
            line("runs", f"{view.total_run_count:,} so far")
        if counts := counts_text(view.counts):
            line("not run", counts)
        outcome = view.outcome
        if outcome is None:
            if last is not None:
                line("outcome", "unknown: no worker reported it")
            return
        took = f" in {_seconds(outcome.runtime)}" if outcome.runtime is not None else ""
        when = f", {ago(outcome.at.timestamp(), now)}" if outcome.at else ""
        where = f" on {clean(outcome.worker, 100)}" if outcome.worker else ""
        status = outcome_status(outcome)
        style = self.console.status_style(status) if status == "failed" else ""
        line("outcome", f"{clean(status, 40)}{took}{when}{where}", style)
        if outcome.error and outcome.error != reason:
            line("", clean(outcome.error, 1000))
        if outcome.task_id:
            line("task id", clean(outcome.task_id, 100))

    def _next_runs(self, view: EntryView, line: _Line, now: float, zone: tzinfo) -> None:
        if why := no_run_because(view, now):
            line("next runs", f"none: {why}")
        elif view.next_run_at is not None:
            computed = self._runs[1] if self._runs else None
            runs = computed.times if computed is not None else ()
            for index, run in enumerate(runs or (view.next_run_at,)):
                when = f"{timestamp(run, zone):<29} {countdown(run.timestamp(), now)}"
                line("next runs" if index == 0 else "", when)
            if computed is not None and not computed.complete:
                line("", "… the others could not be computed in time", "dim")
            elif computed is not None and (average := pace(computed)):
                line("", average, "dim")


def _override(override: Mapping[str, Any], now: float) -> str:
    """Describe in a line who replaced the schedule of ``beat_schedule``, and when."""
    text = f"by {clean(str(override.get('by') or 'somebody'), 100)}"
    at = override.get("at")
    if isinstance(at, int | float) and not isinstance(at, bool) and abs(at) < 1e12:
        text += f", {ago(float(at), now)}"
    if replaced := override.get("replaced"):
        # A recurrence rule has two lines.
        text += f", was {clean(' '.join(str(replaced).split()), 200)}"
    if note := override.get("note"):
        text += f": {clean(str(note), 300)}"
    return text


def _definition(view: EntryView) -> Text:
    try:
        text = json.dumps(json.loads(view.definition or ""), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = view.definition or "there is no definition"
    return Text("\n".join(clean_lines(text)))


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError, TypeError):
        return str(value)


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 60 else duration(seconds)
