"""The table of entries in an app of its own, and what it shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input

from redbeat_tui.live.row import Row
from redbeat_tui.widgets.entry_table import EntryTable

from .rows import NOW, meta, row


class Table(EntryTable):
    """Counts what it draws."""

    def __init__(self) -> None:
        super().__init__()
        self.lines_drawn: list[int] = []
        self.marked: list[Region | None] = []

    def render_line(self, y: int) -> Strip:
        self.lines_drawn.append(y)
        return super().render_line(y)

    def refresh(self, *regions: Region, **how: Any) -> Table:
        if hasattr(self, "marked"):
            self.marked.extend(regions or (None,))
        return super().refresh(*regions, **how)


class Console(App[None]):
    """An app of nothing but the table, and a field that can have the focus."""

    def __init__(self) -> None:
        super().__init__()
        self.event_data: list[object] = []

    def compose(self) -> ComposeResult:
        yield Table()
        yield Input()

    def on_mount(self) -> None:
        self.table.focus()

    @property
    def table(self) -> Table:
        return self.query_one(Table)

    def on_entry_table_highlighted(self, message: EntryTable.Highlighted) -> None:
        self.event_data.append(("highlighted", message.name))

    def on_entry_table_selected(self, message: EntryTable.Selected) -> None:
        self.event_data.append(("selected", message.name))

    def on_entry_table_header_clicked(self, message: EntryTable.HeaderClicked) -> None:
        self.event_data.append(("header", message.sort))


@asynccontextmanager
async def console(
    rows: list[Row], size: tuple[int, int] = (80, 24), *, live: bool = True
) -> AsyncIterator[tuple[Table, Pilot[None]]]:
    app = Console()
    async with app.run_test(size=size) as pilot:
        app.table.set_rows(rows, NOW)
        app.table.tick(NOW, live=live)
        await pilot.pause()
        yield app.table, pilot


def drawn(table: EntryTable) -> list[str]:
    """The lines as they are on the screen."""
    return [table.render_line(y).text for y in range(table.size.height)]


def cursor_line(table: EntryTable) -> int:
    """The line of the screen that has the cursor's marker."""
    marked = [y for y, text in enumerate(drawn(table)) if text.startswith("▌")]
    assert len(marked) == 1
    return marked[0]


def many(count: int) -> list[Row]:
    return [row(f"entry-{n:05}", n, meta=meta(NOW - n % 60)) for n in range(count)]
