"""The console inside the test, on a real server, driven by Textual's pilot.

``add``      writes an entry, as an application does
``run``      runs ``redbeat-tui`` with arguments in this process
``opened``   makes an app on ``server``; use it as ``async with opened().run_test() as pilot``
``editing``  makes an app with the editor open: ``async with editing("first") as (console, pilot)``
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from celery import Celery
from celery.schedules import schedule
from click.testing import CliRunner, Result
from textual.pilot import Pilot

from redbeat_core import RedBeatSchedulerEntry
from redbeat_core.operations import Operations
from redbeat_core.storage.schedule_store import ScheduleStore, store_for
from redbeat_tui import cli
from redbeat_tui.app import ConsoleApp
from redbeat_tui.cli import change, demo, policy, preview, show
from redbeat_tui.config import open_store, options_for

Opened = Callable[..., ConsoleApp]
Editing = Callable[..., AbstractAsyncContextManager[tuple[ConsoleApp, Pilot[int]]]]
Add = Callable[..., None]
Run = Callable[..., Result]

for module in (show, change, policy, preview, demo):
    module.register(cli.cli)


@pytest.fixture
def store(app: Celery) -> ScheduleStore:
    return store_for(app)


@pytest.fixture
def add(app: Celery) -> Add:
    def add(name: str, when: Any = None, task: str = "shop.record", **rest: Any) -> None:
        when = when or schedule(3600, app=app)
        RedBeatSchedulerEntry(name, task, when, app=app, **rest).save()

    return add


@pytest.fixture
def run(url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("URL", "KEY_PREFIX", "READ_ONLY", "TIMEZONE"):
        monkeypatch.delenv(f"REDBEAT_{name}", raising=False)
    monkeypatch.setenv("REDBEAT_REDIS_URL", url)

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(cli.cli, arguments)
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return run


@pytest.fixture
def opened(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    monkeypatch.delenv("NO_COLOR", raising=False)
    apps: list[ConsoleApp] = []

    def opened(**options: Any) -> ConsoleApp:
        resolved = options_for(url=url, timezone="UTC", **options)
        store = open_store(resolved)
        operations = Operations(
            store, app=resolved.app, actor="lea@ops-1", read_only=resolved.read_only
        )
        apps.append(ConsoleApp(resolved, store, operations))
        return apps[-1]

    yield opened
    for app in apps:
        # The pilot does not end an app through `run_async`, which would end the feed's threads.
        app.feed.stop()


@pytest.fixture
def editing(opened: Opened) -> Editing:
    @asynccontextmanager
    async def editing(
        name: str,
        text: str = "",
        *,
        size: tuple[int, int] = (100, 30),
        notifications: bool = False,
    ) -> AsyncIterator[tuple[ConsoleApp, Pilot[int]]]:
        """Open the editor of the entry *name*, wait for its next runs, and type *text* instead of
        its schedule."""
        console = opened()
        async with console.run_test(size=size, notifications=notifications) as pilot:
            await until(pilot, lambda: console.selected_row() is not None, "the entries")
            console.table_screen.table.move_to(name)
            await pilot.press("e")
            await until(pilot, lambda: "next 5 runs" in shown(console), "the next runs")
            if text:
                await pilot.press("end", "ctrl+u", *text)
            yield console, pilot

    return editing


async def until(
    pilot: Pilot[int], condition: Callable[[], object], what: str, timeout: float = 15.0
) -> None:
    """Run the app until *condition* is true."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while not condition():
        assert loop.time() < deadline, f"waited for {what}"
        await pilot.pause(0.02)


def shown(app: ConsoleApp) -> str:
    """Return the text on the screen."""
    width = app.size.width
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line)[:width].rstrip() for line in lines)
