"""The table of entries: draws the visible lines, and repaints only the cells that changed.

An app uses it like this, for example on each drain of its feed, and each second::

    if listing.update(model.rows, delta):
        table.set_rows(listing.rows)     # repaints the lines that changed
    table.tick(model.now(), live=model.live)   # repaints the countdowns whose text changed

The table draws the sequence of rows that it gets, and does not copy it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from redbeat_tui.live.listing import SORTS
from redbeat_tui.live.row import Row

from .entry_columns import GAP, MARGIN, Placed, Present, arrange, column_at, texts
from .entry_painter import COMPONENTS, CSS, Line, Painter, line_of

#: The most lines that can be copied at a time.
_COPIED = 10_000


class EntryTable(ScrollView, can_focus=True):
    """A virtual table of :class:`~redbeat_tui.live.row.Row`.

    :ivar cursor: index of the row under the cursor. The cursor stays on its entry when rows move.
    :ivar zone: the time zone of the next runs.
    :ivar ascii_only: draw with ASCII characters only.
    :ivar empty_text: the text that is drawn when there are no rows.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor(-1)", "Up", show=False),
        Binding("down,j", "cursor(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "first", "First", show=False),
        Binding("end,G", "last", "Last", show=False),
        Binding("enter", "select", "Details", show=False),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = COMPONENTS
    DEFAULT_CSS = CSS

    cursor: reactive[int] = reactive(0, repaint=False, init=False)
    zone: reactive[tzinfo] = reactive[tzinfo](UTC, init=False)
    ascii_only: reactive[bool] = reactive(False, init=False)
    empty_text: reactive[str] = reactive("No entries", init=False)

    @dataclass
    class Highlighted(Message):
        """The cursor moved to another entry.

        :ivar name: the entry's name; None when there are no rows.
        """

        table: EntryTable
        name: str | None

        @property
        def control(self) -> EntryTable:
            return self.table

        def can_replace(self, message: Message) -> bool:
            """Whether a later message of this type makes this one useless: always."""
            return isinstance(message, EntryTable.Highlighted)

    @dataclass
    class Selected(Message):
        """The operator pressed Enter on an entry, or clicked it twice."""

        table: EntryTable
        name: str

        @property
        def control(self) -> EntryTable:
            return self.table

    @dataclass
    class HeaderClicked(Message):
        """The operator clicked a column's title.

        :ivar sort: the column's name in ``listing.SORTS``.
        """

        table: EntryTable
        sort: str

        @property
        def control(self) -> EntryTable:
            return self.table

    def __init__(
        self,
        *,
        zone: tzinfo = UTC,
        ascii_only: bool = False,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.set_reactive(EntryTable.zone, zone)
        self.set_reactive(EntryTable.ascii_only, ascii_only)
        self._rows: Sequence[Row] = ()
        self._now = 0.0
        self._live = True
        self._sort = "next"
        self._reverse = False
        self._cursor_name: str | None = None
        # Until the operator moves the cursor, the top of the table stays in view.
        self._moved = False
        self._placed: tuple[Placed, ...] = ()
        self._drawn: dict[int, Line] = {}
        self._painter = Painter(self)

    # For the app

    @property
    def rows(self) -> Sequence[Row]:
        """The rows of the table, in their order."""
        return self._rows

    @property
    def selected_name(self) -> str | None:
        """The name of the entry under the cursor."""
        return self._cursor_name

    @property
    def selected_row(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self.cursor] if 0 <= self.cursor < len(self._rows) else None

    def set_rows(self, rows: Sequence[Row], now: float | None = None) -> None:
        """Show *rows*, which are already filtered and sorted. Repaints the lines that changed.

        The sequence is not copied; call this again after changing it.

        :param now: Unix seconds; None: the time of the last :meth:`tick`.
        """
        if now is not None:
            self._now = now
        top = self.scroll_offset.y
        anchor, old = self._anchor(top)
        before = self.cursor
        self._rows = rows
        size = Size(0, len(rows) + 1)
        if size != self.virtual_size:
            self.virtual_size = size
        self._follow(before)
        if anchor is not None and top > 0:
            index = self._find(anchor, old)
            if index is not None and index != old:
                self.scroll_to(y=top + index - old, animate=False, force=True)
        if self._moved:
            self._show_cursor_if_lost(before, top)
        self._repaint()

    def tick(self, now: float, *, live: bool | None = None) -> None:
        """Set the present, and repaint the cells whose text depends on it and changed.

        :param now: Unix seconds.
        :param live: whether the rows are up to date with Redis; if not, no entry is drawn as late.
        """
        self._now = now
        if live is not None and live != self._live:
            self._live = live
            self.refresh()
            return
        self._repaint()

    def show_sort(self, sort: str, *, reverse: bool = False) -> None:
        """Draw the arrow at the column that the rows are sorted by. The caller sorts the rows."""
        self._sort, self._reverse = sort, reverse
        self.refresh(Region(0, 0, self.size.width, 1))

    def move_to(self, name: str) -> bool:
        """Move the cursor to the entry *name*; returns False when no row has that name."""
        index = self._find(name, self.cursor)
        if index is None:
            return False
        self._move(index)
        return True

    # The cursor

    def validate_cursor(self, index: int) -> int:
        return max(0, min(index, len(self._rows) - 1))

    def watch_cursor(self, index: int) -> None:
        self._repaint()

    def _set_cursor(self, index: int) -> None:
        self.cursor = index
        row = self.selected_row
        name = row.name if row is not None else None
        if name != self._cursor_name:
            self._cursor_name = name
            self.post_message(self.Highlighted(self, name))

    def _move(self, index: int) -> None:
        self._moved = True
        self._set_cursor(index)
        top, page = self.scroll_offset.y, self._page
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor >= top + page:
            self.scroll_to(y=self.cursor - page + 1, animate=False, force=True)

    def _follow(self, before: int) -> None:
        """Keep the cursor on its entry."""
        name = self._cursor_name
        index = self._find(name, before) if name is not None else None
        if index is not None and not self._moved:
            top = self.scroll_offset.y
            if not top <= index < top + self._page:
                index = None
        self._set_cursor(before if index is None else index)

    def _show_cursor_if_lost(self, before: int, top: int) -> None:
        """Scroll to the cursor where its entry moved out of view, so that it stays on its line of
        the screen."""
        page = self._page
        if top <= before < top + page:
            shown = self.scroll_offset.y if top == 0 else self.scroll_target_y
            if not shown <= self.cursor < shown + page:
                self.scroll_to(y=self.cursor - (before - top), animate=False, force=True)

    def _anchor(self, top: int) -> tuple[str | None, int]:
        """Return name and index of the entry that stays on its line of the screen when rows above
        it are added or removed."""
        rows = self._rows
        if top <= self.cursor < top + self._page and self.cursor < len(rows):
            return rows[self.cursor].name, self.cursor
        return (rows[top].name, top) if top < len(rows) else (None, 0)

    def _find(self, name: str, near: int) -> int | None:
        rows = self._rows
        for index in range(max(0, near - 32), min(len(rows), near + 32)):
            if rows[index].name == name:
                return index
        return next((index for index, row in enumerate(rows) if row.name == name), None)

    @property
    def _page(self) -> int:
        """Rows that are visible at a time."""
        return max(1, self.size.height - 1)

    def action_cursor(self, step: int) -> None:
        self._move(self.cursor + step)

    def action_page(self, pages: int) -> None:
        self._move(self.cursor + pages * self._page)

    def action_first(self) -> None:
        self._move(0)

    def action_last(self) -> None:
        self._move(len(self._rows) - 1)

    def action_select(self) -> None:
        if self._cursor_name is not None:
            self.post_message(self.Selected(self, self._cursor_name))

    def on_click(self, event: events.Click) -> None:
        event.stop()
        if event.chain > 1:
            event.prevent_default()  # Textual would select the whole table as text
        if event.y == 0:
            column = column_at(self._placed, event.x)
            sort = column.key if column is not None else ""
            sort = "next" if sort == "at" else sort
            if sort in SORTS:
                self.post_message(self.HeaderClicked(self, sort))
            return
        index = self.scroll_offset.y + event.y - 1
        if index < len(self._rows):
            self._move(index)
            if event.chain == 2:
                self.action_select()

    # Drawing

    def on_resize(self) -> None:
        # Textual draws the first frame in the new size before it calls this, and _repaint() does
        # not check the titles: without a refresh the titles of the old columns would stay.
        self._placed = arrange(self.size.width)
        self._forget()
        self.refresh()
        if self._moved and self._rows:
            self._move(self.cursor)

    def on_focus(self) -> None:
        self._forget()
        self.refresh()

    def on_blur(self) -> None:
        self._forget()
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._painter.forget()

    def _forget(self) -> None:
        self._painter.forget()
        self._drawn.clear()

    def _present(self) -> Present:
        return Present(self._now, self._live, self.zone, self.ascii_only)

    def _line(self, y: int, present: Present) -> Line:
        index = self.scroll_offset.y + y - 1
        if not 0 <= index < len(self._rows):
            return Line()
        return line_of(self._rows[index], self._placed, present, index == self.cursor)

    def _repaint(self) -> None:
        """Refresh the regions whose text differs from the drawn one."""
        present = self._present()
        size = self.size
        for y in range(1, size.height):
            line, drawn = self._line(y, present), self._drawn.get(y)
            if line == drawn:
                continue
            cells = line.texts
            drawn_cells = drawn.texts if drawn is not None else None
            if (
                drawn is None
                or cells is None
                or drawn_cells is None
                or (line.status, line.cursor) != (drawn.status, drawn.cursor)
            ):
                self.refresh(Region(0, y, size.width, 1))
                continue
            for place, text, before in zip(self._placed, cells, drawn_cells, strict=False):
                if text != before:
                    self.refresh(Region(place.x, y, place.width, 1))

    def render_line(self, y: int) -> Strip:
        """Draw line *y* of the widget; the first is the header."""
        cells = self.size.width
        if y == 0:
            arrows = "v^" if self.ascii_only else "▼▲"
            return self._painter.header(self._placed, self._sort, arrows[not self._reverse], cells)
        present = self._present()
        line = self._drawn[y] = self._line(y, present)
        if line.texts is None:
            text = self.empty_text if not self._rows and y == 2 else ""
            return self._painter.message(text, cells)
        strip = self._painter.line(line, self._placed, present, cells)
        index = self.scroll_offset.y + y - 1
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(index)) is not None:
            strip = self._painter.selected(strip, span)
        return strip.apply_offsets(0, index)

    # Copying with the mouse

    @property
    def allow_select(self) -> bool:
        """Whether text can be selected, also where Textual treats a scrolling widget as a mere
        container."""
        return self.ALLOW_SELECT

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the selected lines as they are drawn now."""
        start = selection.start.y if selection.start is not None else 0
        end = selection.end.y if selection.end is not None else len(self._rows) - 1
        present = self._present()
        copied: list[str] = []
        for index in range(max(0, start), min(end + 1, len(self._rows), start + _COPIED)):
            cells = texts(self._rows[index], self._placed, present)
            line = " " * MARGIN + (" " * GAP).join(cells)
            span = selection.get_span(index)
            if span is not None:
                copied.append(line[span[0] : None if span[1] == -1 else span[1]].rstrip())
        return "\n".join(copied), "\n"
