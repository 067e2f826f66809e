"""The main screen: the header, the table, the activity line and the key bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Static

from ..filter import parse_filter
from ..listing import Listing
from ..model import Delta
from ..row import Row
from ..sanitize import clean
from ..widgets.activity import Activity
from ..widgets.entry_table import EntryTable
from ..widgets.field import Field
from ..widgets.header import ConsoleHeader
from ..widgets.key_bar import KeyBar

if TYPE_CHECKING:
    from ..app import ConsoleApp

#: The orders that ``s`` selects in turn -> their labels.
SORTS = {"next": "next run", "name": "name", "status": "status", "last": "last run"}
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

    app: ConsoleApp

    def __init__(self) -> None:
        super().__init__()
        self.listing = Listing()
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield ConsoleHeader()
        yield Entries(id="entries", zone=self.app.zone)
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
        model = self.app.model
        if self.listing.update(model.rows, delta, self.app.judged):
            self._show_rows()
        self._show_empty()

    def tick(self) -> None:
        """Update the texts that depend on the present, once a second."""
        if self.listing.filter.timed:
            self._list()
        self.table.tick(self.app.model.now(), live=self.app.live)

    def _list(self, **how: object) -> None:
        self.listing.arrange(self.app.model.rows, now=self.app.judged, **how)  # type: ignore[arg-type]
        self._show_rows()
        self._show_empty()

    def _show_rows(self) -> None:
        self.table.set_rows(self.listing.rows, self.app.model.now())
        self.app.show_facts()

    def _show_empty(self) -> None:
        app = self.app
        if app.model.rows:
            text = "No entry matches the filter. esc clears it."
        elif app.model.link.state in ("live", "catching-up") or app.model.seq:
            text = f"No entries under the key prefix {clean(app.options.key_prefix, 60)}"
        else:
            text = "Waiting for Redis…"
        self.table.empty_text = text

    # Sorting

    def next_sort(self) -> None:
        """Sort by the next of :data:`SORTS`."""
        names = list(SORTS)
        at = names.index(self.listing.sort) if self.listing.sort in SORTS else -1
        self._sort(names[(at + 1) % len(names)], reverse=False)

    def on_entry_table_header_clicked(self, event: EntryTable.HeaderClicked) -> None:
        """Sort by the clicked column; a second click reverses the order."""
        event.stop()
        again = event.sort == self.listing.sort
        self._sort(event.sort, reverse=again and not self.listing.reverse)

    def _sort(self, sort: str, *, reverse: bool) -> None:
        self._list(sort=sort, reverse=reverse)
        self.table.show_sort(sort, reverse=reverse)
        self._show_sort()

    def _show_sort(self) -> None:
        sort = SORTS.get(self.listing.sort, self.listing.sort)
        self.activity.show_right(f"by {sort}{', reversed' if self.listing.reverse else ''}")

    def on_entry_table_selected(self, event: EntryTable.Selected) -> None:
        """Open the detail of the selected entry."""
        event.stop()
        self.app.action_perform("show")

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
