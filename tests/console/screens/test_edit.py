"""The editor of a schedule never overwrites the change of another operator."""

from __future__ import annotations

import json

from celery import Celery
from celery.schedules import schedule
from textual.pilot import Pilot

from redbeat_core.operations import Operations
from redbeat_core.schedules import parse_schedule
from redbeat_core.storage.schedule_store import ScheduleStore
from redbeat_tui.app import ConsoleApp
from redbeat_tui.screens.conflict import ConflictScreen
from redbeat_tui.screens.edit import EditScreen
from redbeat_tui.screens.table import TableScreen
from tests.console.conftest import Add, Opened, shown, until


async def edited(console: ConsoleApp, pilot: Pilot[int], text: str, meaning: str) -> None:
    """Open the editor on the only entry, and type *text*."""
    await until(pilot, lambda: console.selected_row() is not None, "the entry")
    await pilot.press("e")
    await until(pilot, lambda: "next 5 runs" in shown(console), "the next runs")
    await pilot.press("end", "ctrl+u", *text)
    await until(pilot, lambda: meaning in shown(console), "the meaning")


def every(store: ScheduleStore, name: str) -> float:
    record = store.get(name)
    assert record is not None
    return float(json.loads(str(record.definition))["schedule"]["every"])


async def test_enter_however_often_does_not_overwrite_the_change_of_another_operator(
    opened: Opened, add: Add, store: ScheduleStore, app: Celery
) -> None:
    add("first")
    console = opened()
    async with console.run_test(size=(80, 24), notifications=True) as pilot:
        await edited(console, pilot, "every 5m", "every 5 minutes")
        Operations(store, app=app).edit_schedule("first", parse_schedule("every 7m"))
        for _ in range(4):
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(console.screen, ConflictScreen), "the conflict")
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(console.screen, EditScreen), "the editor")
            await until(pilot, lambda: "Not saved: somebody else" in shown(console), "the reason")
            assert "every 5 minutes" in shown(console)
            assert every(store, "first") == 420
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(console.screen, ConflictScreen), "the conflict")
        await pilot.press("o")
        await until(pilot, lambda: isinstance(console.screen, TableScreen), "the end")
        assert every(store, "first") == 300


async def test_a_saved_schedule_is_described(opened: Opened, add: Add) -> None:
    add("first")
    console = opened()
    async with console.run_test(size=(120, 30), notifications=True) as pilot:
        text = "FREQ=WEEKLY;BYDAY=MO;BYHOUR=9;BYMINUTE=0;BYSECOND=0"
        await edited(console, pilot, text, "09:00")
        await pilot.press("enter")
        await until(pilot, lambda: "first is saved: " in shown(console), "the end")
        assert "FREQ" not in shown(console)
        assert "DTSTART" not in shown(console)


async def test_the_editor_of_a_paused_entry_promises_no_run(
    opened: Opened, add: Add, store: ScheduleStore, app: Celery
) -> None:
    add("first", schedule(10))
    Operations(store, app=app).pause("first")
    console = opened()
    async with console.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "paused" in shown(console), "the entry")
        await pilot.press("e")
        await until(pilot, lambda: "none until it is resumed; then:" in shown(console), "the runs")
        assert "next 5 runs" not in shown(console)


async def test_the_editor_opens_only_where_another_schedule_makes_the_entry_valid(
    opened: Opened, store: ScheduleStore
) -> None:
    odd = {"name": "odd", "task": "shop.record", "schedule": {"__type__": "lunar"}}
    store.client.hset(store.keys.entry("odd"), "definition", json.dumps(odd))
    store.client.zadd(store.keys.schedule, {store.keys.entry("odd"): 1})
    store.client.zadd(store.keys.schedule, {store.keys.entry("no hash"): 2})
    console = opened()
    async with console.run_test(size=(120, 24), notifications=True) as pilot:
        await until(pilot, lambda: "no hash" in shown(console), "the entries")
        console.table_screen.table.move_to("no hash")
        for key in ("e", "p", "t"):
            await pilot.press(key)
            await until(pilot, lambda: "no hash is invalid" in shown(console), "the refusal")
            assert isinstance(console.screen, TableScreen)
            console.clear_notifications()
            await until(pilot, lambda: "no hash is invalid" not in shown(console), "quiet")
        console.table_screen.table.move_to("odd")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(console.screen, EditScreen), "the editor")
        await pilot.press(*"every 5m")
        await until(pilot, lambda: "every 5 minutes" in shown(console), "the meaning")
        await pilot.press("enter")
        await until(pilot, lambda: "odd is saved" in shown(console), "the end")
        assert every(store, "odd") == 300
