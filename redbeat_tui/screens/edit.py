"""The editor of a schedule: text, what it means, its next runs, and then saving it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, tzinfo
from functools import partial

from celery import Celery
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Button, Static

from redbeat_core.record import EntryView

from ..background import in_thread
from ..format import countdown, timestamp, truncate, width
from ..preview import BUDGET, RUNS, Preview, preview, schedule_text
from ..sanitize import clean
from ..widgets.field import Field
from .dialog import Dialog, button, plain

#: Seconds without a key before what was typed is worked out.
PAUSE = 0.15

EXAMPLES = "every 30s  ·  0 9 * * mon-fri  ·  FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9"

#: Writes it: the preview, the note and the entry that the operator saw -> empty when it is
#: saved, else why it is not, in a sentence.
Save = Callable[[Preview, str, EntryView], Awaitable[str]]


class EditScreen(Dialog[bool]):
    """Edits one entry's schedule; dismissed with True once it is saved."""

    heading = "Edit the schedule"
    BINDINGS = [
        # ctrl+s is taken by some terminals and by tmux: it is never the only key.
        Binding("f2,ctrl+s", "save", show=False, priority=True),
        Binding("left,right", "nothing", show=False),
    ]

    def __init__(
        self, view: EntryView, app: Celery, zone: tzinfo, now: Callable[[], float], save: Save
    ) -> None:
        """
        :param app: gives crontabs their time zone.
        :param zone: that the next runs are shown in.
        :param now: the present in Unix seconds.
        """
        super().__init__()
        self.view = view
        self._celery = app
        self._zone = zone
        self._now = now
        self._save = save
        self._preview: Preview | None = None
        self._wanted = ""
        self._working = False
        self._saving = False
        self._notice = ""
        self._timer: Timer | None = None

    def head(self) -> Iterable[Widget]:
        yield plain(clean(self.view.name, limit=200), classes="subject")
        yield plain(clean(self.view.task, limit=200), classes="sub-subject")

    def body(self) -> Iterable[Widget]:
        yield Field(schedule_text(self.view.schedule), "every 30s", id="text", classes="boxed")
        yield Static("", markup=False, id="problem")
        yield Static("", markup=False, id="runs")
        yield plain(EXAMPLES, classes="examples")
        with Horizontal(classes="labelled field-row"):
            yield plain("note", classes="label")
            yield Field(placeholder="optional, everybody sees it", id="note")

    def buttons(self) -> Iterable[Widget]:
        yield button("Cancel", "esc", id="cancel")
        yield button("Save", "⏎ or F2", id="save", classes="main")

    def on_mount(self) -> None:
        field = self.query_one("#text", Field)
        field.focus()
        field.cursor_position = len(field.value)
        self._work_out()

    @property
    def text(self) -> str:
        """The schedule as typed."""
        return self.query_one("#text", Field).value

    # What it means

    def on_input_changed(self, event: Field.Changed) -> None:
        event.stop()
        if event.input.id != "text":
            return
        if self._timer is not None:
            self._timer.stop()
        self.query_one("#runs").set_class(True, "stale")
        self._say("")
        self._timer = self.set_timer(PAUSE, self._work_out)

    def _work_out(self) -> None:
        """Work out what was typed, in a thread; what is typed meanwhile is next."""
        self._wanted = self.text
        if not self._working:
            self._working = True
            self.run_worker(self._work(), exit_on_error=False, group="preview")

    async def _work(self) -> None:
        try:
            while self._preview is None or self._preview.text != self._wanted:
                text, now = self._wanted, datetime.fromtimestamp(self._now(), UTC)
                last, dst = self.view.last_run_at, self.view.policy.dst
                look = partial(preview, text, self._celery, last, now, dst)
                found = await in_thread(look)
                self._preview = found
                if text == self._wanted:
                    self._draw(found)
        finally:
            self._working = False

    def _draw(self, found: Preview) -> None:
        runs = self.query_one("#runs", Static)
        runs.set_class(False, "stale")
        runs.update(Content("") if found.error else self._runs(found))
        self._draw_problem()

    def _draw_problem(self) -> None:
        """What the text means or what is wrong with it, and what there is to say besides."""
        problem, found, notice = self.query_one("#problem", Static), self._preview, self._notice
        problem.set_class(found is not None and bool(found.error), "error")
        if found is None:
            problem.update(Content(notice))
        elif found.error:
            problem.update(Content(self._pointed(found, notice)))
        elif notice:
            # The notice gets the room that it needs; the meaning is cut, or left out.
            cells = problem.content_size.width
            words = truncate("✓ " + clean(found.words, limit=300), cells) + "\n"
            if width(notice) > 2 * cells - 10:
                words = ""
            problem.update(Content.assemble(words, (notice, "$text-warning")))
        else:
            problem.update(Content("✓ " + clean(found.words, limit=300)))

    def _pointed(self, found: Preview, notice: str) -> str:
        """The error, under a caret at the column where it is."""
        error = "✗ " + (f"{notice}: " if notice else "") + clean(found.error, limit=300)
        if found.column is None:
            return error
        field = self.query_one("#text", Field)
        column = width(clean(found.text)[: found.column]) - field.scroll_offset.x
        if 0 <= column < max(1, field.content_size.width):
            # One more: the field's own padding.
            return " " * (column + 1) + "▲\n" + error
        return f"\n{error} (at column {found.column + 1})"

    def _runs(self, found: Preview) -> Content:
        now = self._now()
        lines = [
            (f"  {timestamp(run, self._zone):<31}", f"{countdown(run.timestamp(), now)}")
            for run in found.runs
        ]
        count = len(lines)
        title = f"next {RUNS} runs" if count == RUNS else f"only {count} more to come"
        if not found.complete:
            title = f"no more than {count} of its runs were found in {BUDGET:g} s"
        elif found.pace:
            title += f" · {found.pace}"
        if self.view.pause is not None:
            title = "paused: none until it is resumed; then:"
        elif not self.view.enabled:
            title = "disabled in its definition: none; if it were enabled:"
        parts: list[Content] = [Content.styled(title, "dim")]
        parts += [Content.assemble("\n", when, (until, "dim")) for when, until in lines]
        return Content("").join(parts)

    # Saving

    def on_input_submitted(self, event: Field.Submitted) -> None:
        event.stop()
        self.action_save()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "save":
            self.action_save()
        else:
            self.action_cancel()

    def action_nothing(self) -> None:
        """The arrows belong to the text."""

    def action_save(self) -> None:
        """Save what was typed, if its meaning has been on the screen."""
        found = self._preview
        if self._saving:
            return
        if found is None or found.text != self.text:
            if self._timer is not None:
                self._timer.stop()
            self._work_out()
            self._say("Look at the next runs, then save again.")
        elif found.error or found.schedule is None:
            self._say("This cannot be saved")
            self.query_one("#text").focus()
        else:
            self._saving = True
            self._say("Saving…")
            self.run_worker(self._write(found), exit_on_error=False, group="save")

    async def _write(self, found: Preview) -> None:
        try:
            note = self.query_one("#note", Field).value.strip()
            # Always against what was there when the editor was opened: having been shown what
            # somebody else wrote is not a decision to write over it.
            problem = await self._save(found, note, self.view)
        finally:
            self._saving = False
        if not problem:
            self.dismiss(True)
            return
        self._say("▲ " + clean(problem, limit=300))
        self.query_one("#text").focus()

    def _say(self, text: str) -> None:
        if text != self._notice:
            self._notice = text
            self._draw_problem()
