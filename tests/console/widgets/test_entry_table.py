"""The table of entries: its lines, and that it repaints only what changed."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from textual.widgets import Input

from redbeat_tui.live.row import Row
from tests.support.rows import NOW, meta, outcome, paused, record, row
from tests.support.tables import console, drawn, many

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
        assert " ".join(header.split()) == "Name Schedule Due ▲ Last run Status"
        assert "late 2m 10s" in late
        assert "▲ late" in late
        assert "in 4s" in cache
        assert "✓ succeeded" in cache
        assert "✗ failed" in sales


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (60, "Name Schedule Due ▲ Status"),
        (80, "Name Schedule Due ▲ Last run Status"),
        (100, "Name Schedule Next run Due ▲ Last run Status"),
        (110, "Name Task Schedule Next run Due ▲ Last run Status"),
        (120, "Name Task Schedule Next run Due ▲ Last run Status"),
        (160, "Name Task Schedule Next run Due ▲ Last run Status Reason"),
    ],
)
async def test_the_wider_the_terminal_the_more_columns(width: int, titles: str) -> None:
    async with console(SHOP, (width, 15)) as (table, _):
        assert " ".join(drawn(table)[0].split()) == titles


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


async def test_the_status_is_readable_without_colour() -> None:
    async with console(SHOP) as (table, pilot):
        table.ascii_only = True
        await pilot.pause()
        text = "\n".join(drawn(table))
        for status in ("^ late", "+ succeeded", "x failed", "> running", "= paused", "o disabled"):
            assert status in text
        assert any(line.startswith("> ") for line in text.splitlines())


async def test_no_entry_is_late_while_not_live() -> None:
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
        assert pilot.app.event_data[-1] == ("highlighted", None)  # type: ignore[attr-defined]


async def test_nothing_moves_sideways_when_the_data_changes() -> None:
    async with console(SHOP[:2]) as (table, pilot):
        header = drawn(table)[0]
        table.set_rows(many(5000), NOW)
        await pilot.pause()
        assert drawn(table)[0] == header, "not even for the scroll bar"


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


async def test_after_a_resize_the_titles_stand_above_their_columns() -> None:
    async with console(SHOP, (160, 24)) as (table, pilot):
        for width in (80, 132, 60, 160):
            await pilot.resize_terminal(width, 24)
            await pilot.pause()
            strips = pilot.app.screen._compositor.render_strips()
            assert "".join(segment.text for segment in strips[0]) == drawn(table)[0].ljust(width)
