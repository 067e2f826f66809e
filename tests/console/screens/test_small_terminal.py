"""Dialogs and messages in a small terminal never hide the subject or the buttons."""

from __future__ import annotations

from functools import partial

import pytest
from celery import Celery

from redbeat_core.operations import Operations
from redbeat_core.schedules import parse_schedule
from redbeat_core.storage.schedule_store import ScheduleStore
from redbeat_tui.app import ConsoleApp
from redbeat_tui.screens.conflict import ConflictScreen
from tests.console.conftest import Add, Opened, shown, until

NOTE = "points were counted twice on Friday; wait for the fix, and ask Nadia"


@pytest.mark.parametrize("size", [(40, 10), (60, 16), (80, 24)])
@pytest.mark.parametrize(
    ("key", "heading", "ways"),
    [
        ("p", "Resume", ("Cancel  esc", "Resume  ⏎")),
        ("t", "Run now", ("Cancel  esc", "Run now  y")),
        ("d", "Delete", ("Cancel  esc", "Delete  y")),
        ("e", "Edit the schedule", ("Cancel  esc", "Save  ⏎ or F2")),
    ],
)
async def test_a_dialog_shows_its_subject_and_its_buttons(
    opened: Opened,
    add: Add,
    store: ScheduleStore,
    app: Celery,
    size: tuple[int, int],
    key: str,
    heading: str,
    ways: tuple[str, ...],
) -> None:
    add("loyalty points", task="shop.mail.loyalty", kwargs={"customers": "every one of them " * 5})
    Operations(store, app=app, actor="nadia@shop-ops-1").pause("loyalty points", note=NOTE)
    console = opened()
    async with console.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: "paused" in shown(console), "the entry")
        console.say("Something that was said before. " * 8)
        await pilot.press(key)
        await until(pilot, lambda: f"─ {heading} " in shown(console), "the dialog")
        await until(pilot, lambda: "before" not in shown(console), "room")
        box = [line for line in shown(console).splitlines() if "│" in line]
        assert "loyalty points" in "".join(box[:3])
        for way in ways:
            assert way in "".join(box[-3:])


async def test_the_conflict_dialog_shows_its_buttons_in_a_small_terminal(
    opened: Opened, add: Add, store: ScheduleStore, app: Celery
) -> None:
    add("first")
    console = opened()
    async with console.run_test(size=(40, 10)) as pilot:
        await until(pilot, lambda: "first" in shown(console), "the entry")
        await pilot.press("p")
        await until(pilot, lambda: "─ Pause " in shown(console), "the dialog")
        Operations(store, app=app).edit_schedule("first", parse_schedule("every 7m"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(console.screen, ConflictScreen), "the conflict")
        await until(pilot, lambda: "Back  esc" in shown(console), "the dialog")
        assert "Pause anyway  o" in shown(console)


def seen(console: ConsoleApp, text: str) -> bool:
    return text in shown(console)


async def test_a_message_covers_neither_the_connection_nor_the_rows_below(
    opened: Opened, add: Add
) -> None:
    for number in range(30):
        add(f"entry {number:02}")
    console = opened()
    async with console.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "● live" in shown(console), "the link")
        await until(pilot, lambda: "entry 00" in shown(console), "the entries")
        for text in ("daily report is paused.", "One. " * 20, "daily report is resumed."):
            console.say(text)
            await until(pilot, partial(seen, console, text[:24].strip()), "the message")
        lines = shown(console).splitlines()
        assert "is resumed." in lines[1]
        assert "is paused." not in shown(console), "the last message is the one that counts"
        assert "● live" in lines[0]
        assert all("is resumed." not in line for line in lines[2:])
