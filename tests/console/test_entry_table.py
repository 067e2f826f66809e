"""The table of entries: what it draws, where the cursor is, and how little it repaints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input

from redbeat_tui.row import Row
from redbeat_tui.widgets.entry_table import EntryTable
from tests.support.rows import NOW, meta, outcome, paused, record, row


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
        self.told: list[object] = []

    def compose(self) -> ComposeResult:
        yield Table()
        yield Input()

    def on_mount(self) -> None:
        self.table.focus()

    @property
    def table(self) -> Table:
        return self.query_one(Table)

    def on_entry_table_highlighted(self, message: EntryTable.Highlighted) -> None:
        self.told.append(("highlighted", message.name))

    def on_entry_table_selected(self, message: EntryTable.Selected) -> None:
        self.told.append(("selected", message.name))

    def on_entry_table_header_clicked(self, message: EntryTable.HeaderClicked) -> None:
        self.told.append(("header", message.sort))


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


SHOP = [
    row("late-one", -130),
    row("cache", 4, meta=meta(NOW), outcome=outcome("succeeded")),
    row("sales", 8, meta=meta(NOW), outcome=outcome("errored", error="ValueError: [/nope]")),
    row("日本語の請求書バッチ処理ジョブです", 12, outcome=outcome("started")),
    row("evil \x1b]52;c;eA==\x07\u202e[bold]", 13, state=paused("migration")),
    row("x" * 10_000, 3600, enabled=False),
    row("broken", 3, definition="{"),
]


@pytest.mark.parametrize("width", [20, 40, 60, 79, 80, 81, 100, 120, 133, 160, 300])
@pytest.mark.parametrize("live", [True, False])
async def test_every_line_is_exactly_as_wide_as_the_table(width: int, live: bool) -> None:
    async with console(SHOP, (width, 15), live=live) as (table, _):
        for y in range(table.size.height):
            strip = table.render_line(y)
            assert strip.cell_length == table.size.width
            assert cell_len(strip.text) == table.size.width


async def test_eighty_columns_show_what_an_operator_needs() -> None:
    async with console(SHOP) as (table, _):
        header, late, cache, sales, *_ = drawn(table)
        assert header.split() == ["Name", "Schedule", "Due", "▲", "Status"]
        assert "late 2m 10s" in late
        assert "▲ late" in late
        assert "in 4s" in cache
        assert "✓ ok" in cache
        assert "✗ failed" in sales


async def test_a_wide_terminal_shows_everything() -> None:
    async with console(SHOP, (160, 45)) as (table, _):
        header, _, _, sales, *_ = drawn(table)
        assert " ".join(header.split()) == (
            "Name Task Schedule Next run Due ▲ Last run Status Reason"
        )
        assert "ValueError: [/nope]" in sales
        assert "12:00:08" in sales


async def test_nothing_from_redis_reaches_the_terminal_as_a_control() -> None:
    async with console(SHOP, (240, 45)) as (table, _):
        everything = "".join(drawn(table))
        assert everything.isprintable()
        assert "evil ␛]52;c;eA==␇⟨202E⟩[bold]" in everything
        assert "xxx…" in everything


async def test_status_is_told_without_colour() -> None:
    async with console(SHOP) as (table, pilot):
        table.ascii_only = True
        await pilot.pause()
        text = "\n".join(drawn(table))
        for status in ("^ late", "+ ok", "x failed", "> running", "= paused", "o disabled"):
            assert status in text
        assert any(line.startswith("> ") for line in text.splitlines())


async def test_what_is_not_live_is_not_called_late() -> None:
    async with console(SHOP, live=False) as (table, _):
        late = drawn(table)[1]
        assert "late-one" in late
        assert "unknown" in late
        assert "· waiting" in late
        table.tick(NOW, live=True)
        assert "late 2m 10s" in drawn(table)[1]


async def test_an_empty_table_says_so() -> None:
    async with console([]) as (table, pilot):
        assert drawn(table)[2].strip() == "No entries"
        assert table.selected_name is None
        assert table.selected_row is None
        await pilot.press("down", "up", "end", "home", "pagedown", "enter")
        assert table.selected_name is None
        table.lines_drawn.clear()
        table.empty_text = "Nothing matches"
        await pilot.pause()
        assert 2 in table.lines_drawn
        assert drawn(table)[2].strip() == "Nothing matches"
        table.set_rows(SHOP, NOW)
        await pilot.pause()
        assert table.selected_name == "late-one"
        table.set_rows([], NOW)
        await pilot.pause()
        assert table.selected_name is None
        assert pilot.app.told[-1] == ("highlighted", None)  # type: ignore[attr-defined]


async def test_the_keys_move_the_cursor() -> None:
    rows = many(100)
    async with console(rows) as (table, pilot):
        page = table.size.height - 1
        for keys, index in [
            (["down"], 1),
            (["j", "j"], 3),
            (["up", "k"], 1),
            (["pagedown"], 1 + page),
            (["pageup"], 1),
            (["pageup"], 0),
            (["end"], 99),
            (["down"], 99),
            (["home"], 0),
            (["G"], 99),
            (["g"], 0),
        ]:
            await pilot.press(*keys)
            await pilot.pause()
            assert table.cursor == index, keys
            assert table.selected_name == rows[index].name
            assert table.selected_row is rows[index]
            assert rows[index].name in drawn(table)[cursor_line(table)]
        await pilot.press("enter")
        await pilot.pause()
        told = pilot.app.told  # type: ignore[attr-defined]
        assert told[-1] == ("selected", "entry-00000")
        assert ("highlighted", "entry-00099") in told


async def test_the_last_line_can_be_reached() -> None:
    async with console(many(500)) as (table, pilot):
        await pilot.press("end")
        await pilot.pause()
        assert "entry-00499" in drawn(table)[-1]
        assert cursor_line(table) == table.size.height - 1


async def test_the_mouse_moves_the_cursor_and_the_wheel_the_rows() -> None:
    async with console(many(100)) as (table, pilot):
        await pilot.click(table, offset=(5, 4))
        await pilot.pause()
        assert table.selected_name == "entry-00003"
        await pilot.click(table, offset=(5, 6), times=2)
        await pilot.pause()
        told = pilot.app.told  # type: ignore[attr-defined]
        assert told[-1] == ("selected", "entry-00005")
        assert not pilot.app.screen.selections, "two clicks mark no text"
        table.scroll_relative(y=10, animate=False)
        await pilot.pause()
        assert "entry-00010" in drawn(table)[1]
        assert table.selected_name == "entry-00005", "it stays where it was"
        await pilot.click(table, offset=(5, 0))
        await pilot.pause()
        assert told[-1] == ("header", "name")
        await pilot.press("down")
        await pilot.pause()
        assert cursor_line(table), "the cursor is in view again"


async def test_a_click_below_the_rows_does_nothing() -> None:
    async with console(many(3)) as (table, pilot):
        await pilot.click(table, offset=(5, 10))
        await pilot.pause()
        assert table.selected_name == "entry-00000"


async def test_the_cursor_stays_on_its_entry_when_the_order_changes() -> None:
    rows = many(10)
    async with console(rows) as (table, pilot):
        await pilot.press("down", "down")
        table.set_rows(rows[::-1], NOW)
        await pilot.pause()
        assert table.selected_name == "entry-00002"
        assert "entry-00002" in drawn(table)[cursor_line(table)]
        table.set_rows([row("new", 0), *rows], NOW)
        await pilot.pause()
        assert table.selected_name == "entry-00002"
        assert table.cursor == 3


async def test_a_cursor_whose_entry_is_gone_is_on_the_next_one() -> None:
    rows = many(10)
    async with console(rows) as (table, pilot):
        await pilot.press("end", "up")
        table.set_rows(rows[:8] + rows[9:], NOW)
        await pilot.pause()
        assert table.selected_name == "entry-00009"
        table.set_rows(rows[:2], NOW)
        await pilot.pause()
        assert table.selected_name == "entry-00001"
        assert pilot.app.told[-1] == ("highlighted", "entry-00001")  # type: ignore[attr-defined]


async def test_an_entry_that_runs_takes_the_cursor_with_it_out_of_view() -> None:
    """Whoever was about to press a key on it still sees it, on the line where it was."""
    rows = many(1000)
    async with console(rows) as (table, pilot):
        await pilot.press("down", "down")
        await pilot.pause()
        table.set_rows([*rows[:2], *rows[3:600], rows[2], *rows[600:]], NOW)
        await pilot.pause()
        assert table.selected_name == "entry-00002"
        assert cursor_line(table) == 3


async def test_until_somebody_moves_the_cursor_the_top_stays_in_view() -> None:
    rows = many(1000)
    async with console(rows) as (table, pilot):
        table.set_rows([*rows[1:600], rows[0], *rows[600:]], NOW)
        await pilot.pause()
        assert table.scroll_offset.y == 0
        assert table.selected_name == "entry-00001"
        assert cursor_line(table) == 1


async def test_rows_that_come_and_go_above_do_not_move_what_is_read() -> None:
    rows = many(1000)
    async with console(rows) as (table, pilot):
        await pilot.press("end", "pageup", "pageup", "up")
        await pilot.pause()
        before = drawn(table)
        table.set_rows(rows[7:], NOW)
        await pilot.pause()
        assert drawn(table) == before
        table.set_rows([row("new", 0), *rows], NOW)
        await pilot.pause()
        assert drawn(table) == before


async def test_rows_above_do_not_move_the_view_when_the_cursor_is_elsewhere() -> None:
    rows = many(1000)
    async with console(rows) as (table, pilot):
        table.scroll_to(y=300, animate=False)
        await pilot.pause()
        before = drawn(table)
        table.set_rows(rows[7:], NOW)
        await pilot.pause()
        assert drawn(table) == before


async def test_an_entry_can_be_gone_to_by_name() -> None:
    async with console(many(1000)) as (table, pilot):
        assert table.move_to("entry-00777")
        await pilot.pause()
        assert "entry-00777" in drawn(table)[cursor_line(table)]
        assert not table.move_to("nobody")
        assert table.selected_name == "entry-00777"


async def test_nothing_moves_sideways_when_the_data_changes() -> None:
    async with console(SHOP[:2]) as (table, pilot):
        header = drawn(table)[0]
        table.set_rows(many(5000), NOW)
        await pilot.pause()
        assert drawn(table)[0] == header, "not even for the scroll bar"


async def test_a_smaller_terminal_keeps_the_cursor_in_view() -> None:
    async with console(many(1000), (120, 40)) as (table, pilot):
        table.move_to("entry-00030")
        await pilot.pause()
        await pilot.resize_terminal(60, 12)
        await pilot.pause()
        assert "entry-00030" in drawn(table)[cursor_line(table)]
        await pilot.resize_terminal(1, 1)
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        assert "entry-00030" in drawn(table)[cursor_line(table)]


async def test_a_tick_repaints_only_the_cells_whose_text_changed() -> None:
    rows = [row("soon", 30), row("far", 86400 * 5 + 60), row("off", enabled=False)]
    async with console(rows) as (table, pilot):
        table.marked.clear()
        table.lines_drawn.clear()
        table.tick(NOW + 1)
        await pilot.pause()
        assert [region and (region.y, region.height) for region in table.marked] == [(1, 1)]
        region = table.marked[0]
        assert region is not None
        assert region.width == 12
        assert set(table.lines_drawn) == {1}
        table.marked.clear()
        table.tick(NOW + 1.4)
        assert table.marked == []


async def test_a_change_repaints_only_its_line() -> None:
    rows = many(50)
    async with console(rows) as (table, pilot):
        table.lines_drawn.clear()
        rows[3] = row("entry-00003", 3, state=paused("x"))
        table.set_rows(rows, NOW)
        await pilot.pause()
        assert set(table.lines_drawn) == {4}
        assert "‖ paused" in drawn(table)[4]
        table.lines_drawn.clear()
        rows[40] = row("entry-00040", 3, state=paused("x"))
        table.set_rows(rows, NOW)
        await pilot.pause()
        assert table.lines_drawn == [], "what is not in view costs nothing"


async def test_moving_the_cursor_repaints_two_lines() -> None:
    async with console(many(50)) as (table, pilot):
        table.lines_drawn.clear()
        await pilot.press("down")
        await pilot.pause()
        assert set(table.lines_drawn) == {1, 2}


async def test_only_what_is_in_view_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Row(record(f"entry-{n:05}", n)) for n in range(5000)]
    async with console(rows, (160, 45)) as (table, pilot):
        await pilot.press("end")
        await pilot.pause()
        assert sum(entry._facts is not None for entry in rows) < 3 * table.size.height


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "ansi-dark", "nord"])
@pytest.mark.parametrize("focused", [True, False])
async def test_the_cursors_line_looks_other_than_its_neighbours(theme: str, focused: bool) -> None:
    async with console(many(5)) as (table, pilot):
        if theme not in pilot.app.available_themes:
            pytest.skip("this Textual has no such theme")
        pilot.app.theme = theme
        if not focused:
            pilot.app.query_one(Input).focus()
        await pilot.pause()
        styles = [list(table.render_line(y))[1].style for y in (1, 2)]
        assert styles[0] is not None
        assert styles[1] is not None
        looks = [(s.color, s.bgcolor, s.reverse, s.bold) for s in styles if s is not None]
        assert looks[0] != looks[1]
        assert drawn(table)[1].startswith("▌")


async def test_the_column_that_is_sorted_by_is_marked() -> None:
    async with console(many(5), (160, 20)) as (table, pilot):
        table.show_sort("name", reverse=True)
        await pilot.pause()
        assert "Name ▼" in drawn(table)[0]
        assert "Due ▲" not in drawn(table)[0]


async def test_selected_text_can_be_copied() -> None:
    async with console(many(50)) as (table, pilot):
        await pilot.mouse_down(table, offset=(2, 2))
        await pilot.hover(table, offset=(13, 3))
        await pilot.mouse_up(table, offset=(13, 3))
        await pilot.pause()
        copied = pilot.app.screen.get_selected_text()
        assert copied is not None
        assert copied.splitlines()[0].startswith("entry-00001")
        assert copied.splitlines()[1].strip() == "entry-00002"
