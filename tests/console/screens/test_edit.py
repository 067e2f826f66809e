"""The editor of a schedule never overwrites the change of another operator."""

from __future__ import annotations

import json

from celery import Celery
from celery.schedules import schedule

from redbeat_core.operations import Operations
from redbeat_core.schedules import parse_schedule
from redbeat_core.storage.schedule_store import ScheduleStore
from redbeat_tui.screens.conflict import ConflictScreen
from redbeat_tui.screens.edit import EditScreen
from redbeat_tui.screens.table import TableScreen
from tests.console.conftest import Add, Editing, Opened, shown, until


def every(store: ScheduleStore, name: str) -> float:
    record = store.get(name)
    assert record is not None
    return float(json.loads(str(record.definition))["schedule"]["every"])


async def test_enter_however_often_does_not_overwrite_the_change_of_another_operator(
    editing: Editing, add: Add, store: ScheduleStore, app: Celery
) -> None:
    add("first")
    async with editing("first", "every 5m", size=(80, 24), notifications=True) as (console, pilot):
        await until(pilot, lambda: "every 5 minutes" in shown(console), "the meaning")
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


async def test_a_saved_schedule_is_described(editing: Editing, add: Add) -> None:
    add("first")
    text = "FREQ=WEEKLY;BYDAY=MO;BYHOUR=9;BYMINUTE=0;BYSECOND=0"
    async with editing("first", text, size=(120, 30), notifications=True) as (console, pilot):
        await until(pilot, lambda: "09:00" in shown(console), "the meaning")
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
