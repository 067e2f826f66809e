"""The cursor of the table: keys and mouse move it, and it stays on its entry."""

from __future__ import annotations

from tests.support.rows import NOW, row
from tests.support.tables import console, cursor_line, drawn, many


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
        told = pilot.app.event_data  # type: ignore[attr-defined]
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
        told = pilot.app.event_data  # type: ignore[attr-defined]
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
        assert pilot.app.event_data[-1] == ("highlighted", "entry-00001")  # type: ignore[attr-defined]


async def test_the_view_follows_the_cursor_when_its_entry_runs_and_moves_down() -> None:
    """An operator about to press a key still sees the entry, on the same line."""
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


async def test_rows_added_and_removed_above_do_not_move_the_cursors_line() -> None:
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


async def test_the_cursor_moves_to_an_entry_by_name() -> None:
    async with console(many(1000)) as (table, pilot):
        assert table.move_to("entry-00777")
        await pilot.pause()
        assert "entry-00777" in drawn(table)[cursor_line(table)]
        assert not table.move_to("nobody")
        assert table.selected_name == "entry-00777"


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
