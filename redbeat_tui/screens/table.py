"""The main screen: the header, the table, the activity line and the key bar."""

from __future__ import annotations

from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Static

from redbeat_tui.console import Console, HeaderOutdated, console_of
from redbeat_tui.live.filter import parse_filter
from redbeat_tui.live.listing import Listing
from redbeat_tui.live.model import Delta
from redbeat_tui.live.row import Row
from redbeat_tui.text.sanitize import clean
from redbeat_tui.widgets.activity import Activity
from redbeat_tui.widgets.entry_table import EntryTable
from redbeat_tui.widgets.field import Field
from redbeat_tui.widgets.header import ConsoleHeader
from redbeat_tui.widgets.key_bar import KeyBar

#: The orders that ``s`` selects in turn -> their labels.
SORT_LABELS = {"next": "next run", "name": "name", "status": "status", "last": "last run"}
#: Seconds without a key before the filter is applied: with 100,000 entries that takes time.
PAUSE = 0.1


class Entries(EntryTable):
    """The table, which leaves Enter without an entry to the app, which says why."""

    def action_select(self) -> None:
        """Open the entry under the cursor; without one the app handles the key."""
        if self.selected_name is None:
            raise SkipAction
        super().action_select()


class TableScreen(Screen[None]):
    """The screen of all entries."""

    def __init__(self) -> None:
        super().__init__()
        self.listing = Listing()
        self._timer: Timer | None = None

    @property
    def console(self) -> Console:
        """The part of the app that this screen may use."""
        return console_of(self)

    def compose(self) -> ComposeResult:
        yield ConsoleHeader()
        yield Entries(id="entries", zone=self.console.zone)
        yield Activity(id="activity")
        with Horizontal(id="filter-bar"):
            yield Static("/", markup=False, id="filter-sign")
            yield Field(placeholder="name, !not, /regex/, status:failed", id="filter")
            yield Static("", markup=False, id="filter-error")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self.query_one("#filter-bar").display = False
        self.table.empty_text = "Waiting for Redis…"
        self.table.show_sort(self.listing.sort)
        self.table.focus()
        self._show_sort()

    @property
    def table(self) -> EntryTable:
        """The table."""
        return self.query_one(EntryTable)

    @property
    def activity(self) -> Activity:
        """The line above the keys."""
        return self.query_one(Activity)

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return self.table.selected_row

    # Following the model

    def follow(self, delta: Delta) -> None:
        """Apply a change of the model."""
        model = self.console.model
        if self.listing.update(model.rows, delta, self.console.judged):
            self._show_rows()
        self._show_empty()

    def tick(self) -> None:
        """Update the texts that depend on the present, once a second."""
        if self.listing.filter.timed:
            self._list()
        self.table.tick(self.console.model.now(), live=self.console.live)

    def _list(self, **how: object) -> None:
        self.listing.arrange(self.console.model.rows, now=self.console.judged, **how)  # type: ignore[arg-type]
        self._show_rows()
        self._show_empty()

    def _show_rows(self) -> None:
        self.table.set_rows(self.listing.rows, self.console.model.now())

    def _show_empty(self) -> None:
        app = self.console
        if app.model.rows:
            text = "No entry matches the filter. esc clears it."
        elif app.model.link.state in ("live", "catching-up") or app.model.seq:
            text = f"No entries under the key prefix {clean(app.options.key_prefix, 60)}"
        else:
            text = "Waiting for Redis…"
        self.table.empty_text = text

    # Sorting

    def next_sort(self) -> None:
        """Sort by the next of :data:`SORT_LABELS`."""
        names = list(SORT_LABELS)
        at = names.index(self.listing.sort) if self.listing.sort in SORT_LABELS else -1
        self._sort(names[(at + 1) % len(names)], reverse=False)

    def on_entry_table_header_clicked(self, event: EntryTable.HeaderClicked) -> None:
        """Sort by the clicked column; a second click reverses the order."""
        event.stop()
        again = event.sort == self.listing.sort
        self._sort(event.sort, reverse=again and not self.listing.reverse)

    def _sort(self, sort: str, *, reverse: bool) -> None:
        self._list(sort=sort, reverse=reverse)
        self.post_message(HeaderOutdated())
        self.table.show_sort(sort, reverse=reverse)
        self._show_sort()

    def _show_sort(self) -> None:
        sort = SORT_LABELS.get(self.listing.sort, self.listing.sort)
        self.activity.show_right(f"by {sort}{', reversed' if self.listing.reverse else ''}")

    # The filter

    def open_filter(self) -> None:
        """Show the filter's field in place of the activity line."""
        self.activity.display = False
        self.query_one("#filter-bar").display = True
        # At once and not with the next message: keys typed right after ``/`` belong to the field.
        self.set_focus(self.query_one("#filter", Field))

    def clear_filter(self) -> bool:
        """Show all entries again.

        :returns: whether there was a filter.
        """
        had_filter = bool(self.listing.filter.text)
        self.query_one("#filter", Field).value = ""
        self._apply()
        return had_filter

    def _close_filter(self) -> None:
        self.query_one("#filter-bar").display = False
        self.activity.display = True
        self.table.focus()

    def on_input_changed(self, event: Field.Changed) -> None:
        """Apply the filter while it is being typed."""
        event.stop()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(PAUSE, self._apply)

    def on_input_submitted(self, event: Field.Submitted) -> None:
        """Keep the filter and move the focus to the table."""
        event.stop()
        self._apply()
        self._close_filter()

    def on_field_cancelled(self, event: Field.Cancelled) -> None:
        """Clear the filter."""
        event.stop()
        self.clear_filter()
        self._close_filter()

    def _apply(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        text = self.query_one("#filter", Field).value
        if text == self.listing.filter.text:
            return
        new_filter = parse_filter(text)
        error = self.query_one("#filter-error", Static)
        error.update(f" {clean(new_filter.error, 200)} " if new_filter.error else "")
        self._list(filter=new_filter)
        self.post_message(HeaderOutdated())
