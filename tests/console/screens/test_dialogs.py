"""The dialogs: their questions, their previews, and that they never lose typed text."""

from __future__ import annotations

import pytest
from celery import Celery

from redbeat_core.operations import Operations
from redbeat_core.schedules import parse_schedule, schedule
from redbeat_core.storage.schedule_store import ScheduleStore
from redbeat_tui.screens import edit
from redbeat_tui.screens.conflict import ConflictScreen
from redbeat_tui.screens.edit import EditScreen
from redbeat_tui.screens.table import TableScreen
from tests.console.conftest import Add, Editing, Opened, shown, until


def stored(store: ScheduleStore, name: str) -> str:
    record = store.get(name)
    assert record is not None
    return str(record.definition)


async def test_the_editor_points_at_the_column_of_the_error(editing: Editing, add: Add) -> None:
    add("first")
    async with editing("first", size=(80, 24)) as (console, pilot):
        assert "every hour" in shown(console)
        await pilot.press("end", "ctrl+u", *"0 25 * * *")
        await until(pilot, lambda: "hour 25 is not within" in shown(console), "the error")
        lines = shown(console).splitlines()
        at = next(index for index, line in enumerate(lines) if "0 25 * * *" in line)
        assert lines[at + 1].index("▲") == lines[at].index("25")
        assert "next 5 runs" not in shown(console)
        await pilot.press("f2")
        await until(pilot, lambda: "cannot be saved" in shown(console), "the refusal")


async def test_no_schedule_is_saved_before_its_next_runs_were_on_the_screen(
    editing: Editing, add: Add, store: ScheduleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edit, "PAUSE", 3600)
    add("first")
    before = stored(store, "first")
    async with editing("first", "every 5m") as (console, pilot):
        await pilot.press("enter")
        await until(pilot, lambda: "every 5 minutes" in shown(console), "the meaning")
        assert stored(store, "first") == before
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(console.screen, TableScreen), "the end")
        assert stored(store, "first") != before


@pytest.mark.parametrize("how", ["enter", "f2", "ctrl+s", "button"])
async def test_there_is_more_than_one_way_to_save(
    editing: Editing, add: Add, store: ScheduleStore, how: str
) -> None:
    add("first")
    async with editing("first", "every 5m") as (console, pilot):
        await until(pilot, lambda: "every 5 minutes" in shown(console), "the meaning")
        if how == "button":
            await pilot.click("#save")
        else:
            await pilot.press(how)
        await until(pilot, lambda: '"every": 300' in stored(store, "first"), "the change")


async def test_text_typed_at_once_behind_a_key_is_not_lost(editing: Editing, add: Add) -> None:
    add("first")
    async with editing("first") as (console, pilot):
        field = console.screen.query_one("#text")
        from textual import events

        for key in ("ctrl+e", "ctrl+u"):
            console.post_message(events.Key(key, None))
        for character in "every 9m":
            key = "space" if character == " " else character
            console.post_message(events.Key(key, character))
        await until(pilot, lambda: getattr(field, "value", "") == "every 9m", "the text")


async def test_a_schedule_that_never_runs_is_not_saved(
    editing: Editing, add: Add, store: ScheduleStore
) -> None:
    add("first")
    before = stored(store, "first")
    async with editing("first", "0 0 30 2 *") as (console, pilot):
        await until(pilot, lambda: "✗" in shown(console), "the error")
        await pilot.press("enter")
        await pilot.pause(0.2)
        assert isinstance(console.screen, EditScreen)
        assert stored(store, "first") == before


async def test_saving_mine_anyway_is_a_key_of_its_own(
    editing: Editing, add: Add, store: ScheduleStore, app: Celery
) -> None:
    add("first")
    async with editing("first", "every 5m") as (console, pilot):
        await until(pilot, lambda: "every 5 minutes" in shown(console), "the meaning")
        Operations(store, app=app).edit_schedule("first", parse_schedule("every 7m"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(console.screen, ConflictScreen), "the conflict")
        assert "every 1h" in shown(console)
        assert "every 7m" in shown(console)
        await pilot.press("o")
        await until(pilot, lambda: isinstance(console.screen, TableScreen), "the end")
        assert '"every": 300' in stored(store, "first")


async def test_an_entry_deleted_under_the_editor_keeps_the_text(
    editing: Editing, add: Add, store: ScheduleStore, app: Celery
) -> None:
    add("first")
    async with editing("first", "every 5m", notifications=True) as (console, pilot):
        await until(pilot, lambda: "every 5 minutes" in shown(console), "the meaning")
        Operations(store, app=app).delete("first")
        await pilot.press("enter")
        await until(pilot, lambda: "Your text is kept" in shown(console), "the reason")
        assert isinstance(console.screen, EditScreen)
        assert console.screen.text == "every 5m"


async def test_a_crontab_is_previewed_in_the_time_zone_of_the_app(
    opened: Opened, add: Add, url: str
) -> None:
    add("first", schedule(60))
    console = opened()
    console.options.app.conf.timezone = "UTC"
    async with console.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "first" in shown(console), "the entry")
        await pilot.press("e")
        await until(pilot, lambda: "next 5 runs" in shown(console), "the next runs")
        await pilot.press("end", "ctrl+u", *"30 9 * * *")
        await until(pilot, lambda: "09:30:00 UTC" in shown(console), "the next runs")
