"""The dialog that edits a schedule as text, and shows its meaning and next runs before saving."""

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

from redbeat_core.entries.view import EntryView
from redbeat_tui.text.format import countdown, timestamp, truncate, width
from redbeat_tui.text.sanitize import clean
from redbeat_tui.text.schedule_preview import BUDGET, RUNS, Preview, preview, schedule_text
from redbeat_tui.threads import in_thread
from redbeat_tui.widgets.field import Field

from .dialog import Dialog, button, plain

#: Seconds without a key before the typed text is previewed.
PAUSE = 0.15

EXAMPLES = "every 30s  ·  0 9 * * mon-fri  ·  FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9"

#: Saves a schedule: the preview, the note and the entry that the operator saw -> empty when it is
#: saved, else why it is not, as a sentence.
Save = Callable[[Preview, str, EntryView], Awaitable[str]]


class EditScreen(Dialog[bool]):
    """Edits one entry's schedule; dismissed with True when the schedule is saved."""

    heading = "Edit the schedule"
    BINDINGS = [
        # Some terminals and tmux intercept ctrl+s, so it is never the only key.
        Binding("f2,ctrl+s", "save", show=False, priority=True),
        Binding("left,right", "nothing", show=False),
    ]

    def __init__(
        self, view: EntryView, app: Celery, zone: tzinfo, now: Callable[[], float], save: Save
    ) -> None:
        """
        :param app: its time zone applies to crontabs.
        :param zone: the time zone of the next runs on the screen.
        :param now: returns the present in Unix seconds.
        :param save: see :data:`Save`.
        """
        super().__init__()
        self.view = view
        self._celery = app
        self._zone = zone
        self._now = now
        self._save = save
        self._preview: Preview | None = None
        self._wanted_text = ""
        self._previewing = False
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
        self._update_preview()

    @property
    def text(self) -> str:
        """The schedule as typed."""
        return self.query_one("#text", Field).value

    # The preview

    def on_input_changed(self, event: Field.Changed) -> None:
        event.stop()
        if event.input.id != "text":
            return
        if self._timer is not None:
            self._timer.stop()
        self.query_one("#runs").set_class(True, "stale")
        self._say("")
        self._timer = self.set_timer(PAUSE, self._update_preview)

    def _update_preview(self) -> None:
        """Preview the typed text in a thread; a text typed meanwhile is previewed next."""
        self._wanted_text = self.text
        if not self._previewing:
            self._previewing = True
            self.run_worker(self._preview_texts(), exit_on_error=False, group="preview")

    async def _preview_texts(self) -> None:
        try:
            while self._preview is None or self._preview.text != self._wanted_text:
                text = self._wanted_text
                now = datetime.fromtimestamp(self._now(), UTC)
                last_run_at = self.view.last_run_at
                dst = self.view.policy.dst
                call = partial(preview, text, self._celery, last_run_at, now, dst)
                result = await in_thread(call)
                self._preview = result
                if text == self._wanted_text:
                    self._draw(result)
        finally:
            self._previewing = False

    def _draw(self, result: Preview) -> None:
        runs = self.query_one("#runs", Static)
        runs.set_class(False, "stale")
        runs.update(Content("") if result.error else self._runs(result))
        self._draw_problem()

    def _draw_problem(self) -> None:
        """Draw the meaning of the text or its error, and the notice about saving."""
        problem = self.query_one("#problem", Static)
        result = self._preview
        notice = self._notice
        problem.set_class(result is not None and bool(result.error), "error")
        if result is None:
            problem.update(Content(notice))
        elif result.error:
            problem.update(Content(self._error_text(result, notice)))
        elif notice:
            # The notice gets the cells that it needs; the description is cut, or left out.
            cells = problem.content_size.width
            description = truncate("✓ " + clean(result.words, limit=300), cells) + "\n"
            if width(notice) > 2 * cells - 10:
                description = ""
            problem.update(Content.assemble(description, (notice, "$text-warning")))
        else:
            problem.update(Content("✓ " + clean(result.words, limit=300)))

    def _error_text(self, result: Preview, notice: str) -> str:
        """Return the error, under a caret at its column."""
        error = "✗ " + (f"{notice}: " if notice else "") + clean(result.error, limit=300)
        if result.column is None:
            return error
        field = self.query_one("#text", Field)
        column = width(clean(result.text)[: result.column]) - field.scroll_offset.x
        if 0 <= column < max(1, field.content_size.width):
            # One more cell for the field's padding.
            return " " * (column + 1) + "▲\n" + error
        return f"\n{error} (at column {result.column + 1})"

    def _runs(self, result: Preview) -> Content:
        now = self._now()
        lines = [
            (f"  {timestamp(run, self._zone):<31}", f"{countdown(run.timestamp(), now)}")
            for run in result.runs
        ]
        count = len(lines)
        title = f"next {RUNS} runs" if count == RUNS else f"only {count} more to come"
        if not result.complete:
            title = f"only {count} of its runs could be computed in {BUDGET:g} s"
        elif result.pace:
            title += f" · {result.pace}"
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
        """Do nothing: the arrow keys move the cursor in the text."""

    def action_save(self) -> None:
        """Save the typed schedule, unless its preview has not been on the screen yet."""
        result = self._preview
        if self._saving:
            return
        if result is None or result.text != self.text:
            if self._timer is not None:
                self._timer.stop()
            self._update_preview()
            self._say("Look at the next runs, then save again.")
        elif result.error or result.schedule is None:
            self._say("This cannot be saved")
            self.query_one("#text").focus()
        else:
            self._saving = True
            self._say("Saving…")
            self.run_worker(self._write(result), exit_on_error=False, group="save")

    async def _write(self, result: Preview) -> None:
        try:
            note = self.query_one("#note", Field).value.strip()
            # Always compared with the version at the opening of the editor: an operator who has
            # seen another version meanwhile has not decided to overwrite it.
            problem = await self._save(result, note, self.view)
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
