"""A console on a real terminal, on a real server.

``store``      the schedule on ``server``, for preparing entries and for checking what was written
``add``        writes an entry that runs every hour, as an application does
``console``    opens ``redbeat-tui`` on a terminal; it is ended with the test
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.schedules import schedule

from redbeat_core import RedBeatSchedulerEntry
from redbeat_core.storage.schedule_store import ScheduleStore, store_for
from tests.support.terminal import Terminal

Add = Callable[..., None]
Open = Callable[..., Terminal]


@pytest.fixture
def store(app: Celery) -> ScheduleStore:
    return store_for(app)


@pytest.fixture
def add(app: Celery) -> Add:
    def add(name: str, task: str = "shop.record", every: float = 3600, **rest: Any) -> None:
        RedBeatSchedulerEntry(name, task, schedule(every, app=app), app=app, **rest).save()

    return add


@pytest.fixture
def console(url: str, tmp_path: Path) -> Iterator[Open]:
    opened: list[Terminal] = []

    def open_console(*arguments: str, **options: Any) -> Terminal:
        line = [sys.executable, "-m", "redbeat_tui", *(arguments or ("--url", url))]
        opened.append(Terminal(line, directory=tmp_path, **options))
        return opened[-1]

    yield open_console
    for terminal in opened:
        terminal.close()
