"""The whole console: it follows the schedule, guards writes and explains each refusal."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import redis
from celery import Celery
from celery.schedules import schedule

from redbeat_core.operations import Operations
from redbeat_core.schedules import parse_schedule
from redbeat_core.settings.keys import Keys
from redbeat_core.storage.schedule_store import ScheduleStore
from redbeat_tui.actions.registry import ACTIONS
from redbeat_tui.screens.ask import AskScreen
from redbeat_tui.screens.detail import DetailScreen
from redbeat_tui.screens.help import HelpScreen
from redbeat_tui.screens.table import TableScreen
from redbeat_tui.widgets.field import Field
from tests.support.server import Server

from .conftest import Add, Opened, shown, until

pytestmark = pytest.mark.asyncio


async def test_the_table_follows_changes_by_others(
    opened: Opened, add: Add, store: ScheduleStore, app: Celery
) -> None:
    add("first")
    console = opened()
    async with console.run_test(size=(120, 24), notifications=True) as pilot:
        await until(pilot, lambda: "first" in shown(console), "the entry")
        assert "● live" in shown(console)
        add("second")
        await until(pilot, lambda: "second" in shown(console), "another entry")
        Operations(store, app=app, actor="ana@x").pause("second", note="broken feed")
        await until(pilot, lambda: "1 paused" in shown(console), "the pause")
        assert "paused by ana@x: broken feed" in shown(console)
        Operations(store, app=app).delete("first")
        await until(pilot, lambda: "1 entry" in shown(console), "the deletion")


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_every_key_of_the_bar_fits_and_is_one_of_the_registry(
    opened: Opened, add: Add, size: tuple[int, int]
) -> None:
    add("first")
    console = opened()
    async with console.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: "first" in shown(console), "the entry")
        bar = shown(console).splitlines()[-1]
        for action in ACTIONS.values():
            if action.weight:
                assert action.title in bar, action.name


async def test_the_filter_follows_the_typing_and_esc_clears_it(opened: Opened, add: Add) -> None:
    for name in ("alpha", "beta", "gamma"):
        add(name)
    console = opened()
    async with console.run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: "gamma" in shown(console), "the entries")
        await pilot.press("slash", *"al")
        await until(pilot, lambda: "1 of 3" in shown(console), "the filter")
        assert "beta" not in shown(console)
        await pilot.press("enter")
        assert "filter al" in shown(console)
        # The field is closed, so letters are keys again.
        await pilot.press("s")
        await until(pilot, lambda: "by name" in shown(console), "the order")
        await pilot.press("escape")
        await until(pilot, lambda: "beta" in shown(console), "all entries")
        await pilot.press("slash", *"/[/")
        await until(pilot, lambda: "no regular expression" in shown(console), "the error")
        await pilot.press("escape")
        await until(pilot, lambda: "3 entries" in shown(console), "all entries")


async def test_s_selects_each_order_in_turn(opened: Opened, add: Add) -> None:
    add("first")
    console = opened()
    async with console.run_test(notifications=True) as pilot:
        await until(pilot, lambda: "first" in shown(console), "the entry")
        seen = []
        for _ in range(4):
            await pilot.press("s")
            seen.append(shown(console).splitlines()[-2].split("  ")[-1].strip())
        assert seen == ["by name", "by status", "by last run", "by next run"]


async def test_enter_shows_the_detail_which_follows_the_entry_until_it_is_deleted(
    opened: Opened, add: Add, store: ScheduleStore, app: Celery
) -> None:
    add("first", args=["[/nope]", 1], kwargs={"k": "v"})
    console = opened()
    async with console.run_test(size=(160, 45), notifications=True) as pilot:
        await until(pilot, lambda: "first" in shown(console), "the entry")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(console.screen, DetailScreen), "the detail")
        await until(pilot, lambda: shown(console).count("UTC") >= 5, "the next runs")
        assert '"[/nope]"' in shown(console)
        assert "every hour" in shown(console)
        operations = Operations(store, app=app, actor="ana@x")
        operations.edit_schedule("first", parse_schedule("every 7m"))
        await until(pilot, lambda: "every 7 minutes" in shown(console), "the other schedule")
        await pilot.press("p")
        await until(pilot, lambda: isinstance(console.screen, AskScreen), "the question")
        await pilot.press(*"hot", "enter")
        await until(pilot, lambda: "“hot”" in shown(console), "the pause")
        assert "none: it is paused" in shown(console)
        operations.delete("first")
        await until(pilot, lambda: "deleted: it is gone" in shown(console), "the deletion")
        await pilot.press("t")
        await until(pilot, lambda: "No entry is selected" in shown(console), "the reason")
        await pilot.press("q")
        assert isinstance(console.screen, TableScreen)


@pytest.mark.parametrize("action", [action for action in ACTIONS.values() if action.writes])
async def test_read_only_refuses_in_the_registry_and_in_the_operations(
    opened: Opened, add: Add, store: ScheduleStore, action: object
) -> None:
    add("first")
    before = store.get("first")
    console = opened(read_only=True)
    async with console.run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: "first" in shown(console), "the entry")
        assert "read-only" in shown(console)
        for key in action.keys:  # type: ignore[attr-defined]
            await pilot.press(key)
            await until(pilot, lambda: "This console is read-only" in shown(console), "why")
            assert isinstance(console.screen, TableScreen)
    assert store.get("first") == before


async def test_a_key_pressed_twice_opens_one_dialog(opened: Opened, add: Add) -> None:
    add("first")
    console = opened()
    async with console.run_test(notifications=True) as pilot:
        await until(pilot, lambda: "first" in shown(console), "the entry")
        console.action_perform("delete")
        console.action_perform("delete")
        await until(pilot, lambda: isinstance(console.screen, AskScreen), "the question")
        await pilot.pause(0.2)
        assert len(console.screen_stack) == 3
        await pilot.press("escape")
        assert isinstance(console.screen, TableScreen)


async def test_a_run_on_request_takes_typed_values_and_reports_invalid_ones(
    opened: Opened, add: Add, store: ScheduleStore
) -> None:
    add("first", args=["march"])
    console = opened()
    async with console.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "first" in shown(console), "the entry")
        await pilot.press("t")
        await until(pilot, lambda: '["march"]' in shown(console), "the question")
        field = console.screen.query_one("#args", Field)
        field.value = '["april"'
        await pilot.press("y")
        await until(pilot, lambda: "args is not JSON" in shown(console), "the reason")
        assert store.client.xlen(store.keys.triggers) == 0
        field.value = '["april"]'
        await pilot.press("y")
        await until(pilot, lambda: store.client.xlen(store.keys.triggers) == 1, "the request")
        ((_, fields),) = store.client.xrange(store.keys.triggers)
        request = json.loads(fields["request"])
        assert request["args"] == ["april"]
        assert "kwargs" not in request
        assert "queue" not in request


async def test_the_help_and_the_palette_know_the_whole_registry(opened: Opened) -> None:
    console = opened()
    async with console.run_test(size=(120, 70), notifications=True) as pilot:
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(console.screen, HelpScreen), "the help")
        for action in ACTIONS.values():
            assert action.help in shown(console)
        await pilot.press("escape")
        titles = {command.title for command in console.get_system_commands(console.screen)}
        assert titles == {
            action.title.capitalize()
            for action in ACTIONS.values()
            if action.name not in ("palette", "back")
        }


async def test_text_pasted_into_a_field_is_plain_text(opened: Opened) -> None:
    from textual import events

    console = opened()
    async with console.run_test(size=(100, 24), notifications=True) as pilot:
        await pilot.press("slash")
        field = console.screen.query_one("#filter", Field)
        field.post_message(events.Paste("a\x1b]52;c;x\x07\nb\u202ec" + "x" * 10_000))
        await until(pilot, lambda: bool(field.value), "the paste")
        assert field.value.startswith("a␛]52;c;x␇ b⟨202E⟩cxxx")
        assert len(field.value) <= 4000


async def test_the_text_of_a_crash_has_no_passwords_and_no_local_variables(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = opened()
    url = console.options.url.replace("://", "://:hunter2@")
    monkeypatch.setattr(console, "options", replace(console.options, url=url))

    def crash() -> None:
        in_a_local = "a value of a local variable"
        raise ValueError(f"cannot use hunter2 \x1b[2J {len(in_a_local)}")

    async def run() -> None:
        async with console.run_test() as pilot:
            console.call_later(crash)
            await pilot.pause(0.5)

    with pytest.raises(ValueError, match="cannot use"):
        await run()
    assert "ValueError: cannot use *** ␛[2J" in console.crash
    assert "a value of" not in console.crash.replace('"a value of a local variable"', "")
    assert "\x1b" not in console.crash


async def test_while_the_server_hangs_leader_and_lateness_are_unknown(
    opened: Opened, add: Add, server: Server, client: redis.Redis
) -> None:
    add("first", schedule(1))
    client.set(Keys().lock, "somebody else's beat")
    console = opened()
    console.feed.silent_after = 2.5
    async with console.run_test(size=(120, 24)) as pilot:
        await until(pilot, lambda: "leader celery-redbeat" in shown(console), "the leader")
        assert "standby" not in shown(console), "beats of another program report nothing"
        await until(pilot, lambda: "1 late" in shown(console), "lateness")
        server.freeze()
        try:
            await until(pilot, lambda: "celery-redbeat" not in shown(console), "doubt")
            await until(pilot, lambda: "late" not in shown(console), "the end of lateness")
        finally:
            server.thaw()
        await until(pilot, lambda: "leader celery-redbeat" in shown(console), "the leader again")
        await until(pilot, lambda: "1 late" in shown(console), "lateness again")


async def test_the_schedule_is_read_again_once_at_a_time(opened: Opened, add: Add) -> None:
    add("first")
    console = opened()
    async with console.run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: "● live" in shown(console), "the link")
        before = console.feed
        console.action_perform("refresh")
        again = console.feed
        assert again is not before
        for _ in range(5):
            console.action_perform("refresh")
            assert console.feed is again
        await until(pilot, lambda: again.health is not None and not again.pending, "the reading")
        await until(pilot, lambda: not console._reading, "the reading")
        await pilot.press("r")
        assert console.feed is not again


async def test_an_invalid_filter_shows_its_error_until_it_is_changed(
    opened: Opened, add: Add
) -> None:
    add("first")
    console = opened()
    async with console.run_test(size=(120, 24)) as pilot:
        await until(pilot, lambda: "first" in shown(console), "the entry")
        await pilot.press("slash", *"status:bo", "enter")
        await until(pilot, lambda: "filter status:bo" in shown(console), "the filter")
        assert "no status is named 'bo'" in shown(console).splitlines()[1]


async def test_each_trouble_of_the_demo_is_shown_once(opened: Opened) -> None:
    console = opened()
    trouble: list[str] = []
    console._trouble = lambda: trouble
    async with console.run_test(size=(100, 24), notifications=True) as pilot:
        trouble.append("the demo's beat ended by itself")
        message = "The demo's beat ended by itself."
        await until(pilot, lambda: message in shown(console), "the news")
        console.clear_notifications()
        await until(pilot, lambda: message not in shown(console), "the end")
        await pilot.pause(1.5)
        assert message not in shown(console)


async def test_an_override_is_described_in_the_detail(
    opened: Opened, add: Add, store: ScheduleStore, app: Celery
) -> None:
    add("first")
    store.client.sadd(store.keys.statics, "first")
    operations = Operations(store, app=app, actor="ana@x")
    operations.edit_schedule("first", parse_schedule("every 7m"), note="slow carrier")
    console = opened()
    async with console.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "first" in shown(console), "the entry")
        await pilot.press("enter")
        await until(pilot, lambda: "was every 1h: slow carrier" in shown(console), "the override")
        assert "by ana@x, " in shown(console)
        assert "replaced" not in shown(console)
