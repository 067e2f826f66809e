"""Each action through its key, checked in Redis and by the runs of a real worker."""

from __future__ import annotations

import json

import pytest
import redis
from celery import Celery

from redbeat_core.entries.view import EntryView, decode_record
from redbeat_core.operations import Operations
from redbeat_core.schedules import parse_schedule, schedule
from redbeat_core.storage.schedule_store import ScheduleStore
from tests.support.processes import Processes
from tests.support.server import Server
from tests.support.shop import ran
from tests.support.terminal import Terminal
from tests.support.waiting import never, wait_for

from .conftest import Add, Open

#: Celery adds no entry of its own.
ALONE = {"result_expires": None}


def view(store: ScheduleStore, name: str) -> EntryView:
    record = store.get(name)
    assert record is not None, f"there is no {name!r}"
    return decode_record(record)


def every(store: ScheduleStore, name: str) -> float:
    parsed = view(store, name).schedule
    assert isinstance(parsed, schedule)
    return float(parsed.run_every.total_seconds())


def ready(terminal: Terminal, name: str) -> None:
    """Wait until the console is live and the cursor is on *name*, the only entry shown."""
    terminal.wait_for_text("● live")
    terminal.wait_for_text(name)


def type_schedule(terminal: Terminal, text: str, meaning: str) -> None:
    """Replace the text in the editor, and wait until its meaning is shown."""
    terminal.wait_for_text("Edit the schedule")
    terminal.press("\x05\x15" + text)
    terminal.wait_for_text(meaning)
    terminal.wait_for_text("next 5 runs")


def test_p_pauses_with_a_note_and_p_resumes(
    console: Open, add: Add, store: ScheduleStore, client: redis.Redis, processes: Processes
) -> None:
    add("restock shelves", every=1, args=["shelf"])
    processes.worker()
    processes.beat(max_interval=300, conf=ALONE)
    wait_for(lambda: ran(client), what="the first run")
    terminal = console()
    ready(terminal, "restock shelves")
    terminal.press("p")
    terminal.wait_for_text("It will not run by its schedule")
    terminal.press("supplier is away\r")
    terminal.wait_for_text("‖ paused")
    pause = view(store, "restock shelves").pause
    assert pause is not None
    assert pause.note == "supplier is away"
    assert "@" in pause.by
    wait_for(lambda: not client.llen("shop"), what="an empty queue")
    runs = len(ran(client))
    never(lambda: len(ran(client)) > runs + 1, 3, what="a run while it was paused")
    runs = len(ran(client))
    terminal.press("p")
    terminal.wait_for_text("by its schedule again")
    assert "because" in terminal.text
    terminal.press("\r")
    wait_for(lambda: view(store, "restock shelves").pause is None, what="the resumption")
    wait_for(lambda: len(ran(client)) > runs, what="a run after it was resumed")


def test_t_asks_and_shows_the_run_until_the_worker_has_done_it(
    console: Open, add: Add, client: redis.Redis, processes: Processes
) -> None:
    add("close the month", every=86400, args=["march"])
    processes.worker()
    processes.beat(max_interval=300, conf=ALONE).wait_for_log("lead")
    terminal = console()
    ready(terminal, "close the month")
    terminal.press("t")
    terminal.wait_for_text("Run now")
    terminal.press("\r")  # enter alone is no
    wait_for(lambda: "Run now" not in terminal.text, what="the end of the dialog")
    terminal.press("t")
    terminal.wait_for_text("Run now")
    terminal.press("y")
    terminal.wait_for_text("Run of close the month succeeded")
    (run,) = ran(client)
    assert run.args == ["march"]
    assert run.headers["redbeat"]["trigger"]


def test_e_edits_the_schedule_and_shows_what_it_means_first(
    console: Open, add: Add, store: ScheduleStore, client: redis.Redis, processes: Processes
) -> None:
    add("count stock", every=86400)
    processes.worker()
    processes.beat(max_interval=300, conf=ALONE).wait_for_log("lead")
    terminal = console()
    ready(terminal, "count stock")
    terminal.press("e")
    terminal.wait_for_text("Edit the schedule")
    terminal.press("\x05\x15every 1x")
    terminal.wait_for_text("✗")
    terminal.press("\r")
    terminal.wait_for_text("cannot be saved")
    assert every(store, "count stock") == 86400
    type_schedule(terminal, "every 1s", "every second")
    terminal.press("\r")
    terminal.wait_for_text("is saved")
    assert every(store, "count stock") == 1
    wait_for(lambda: len(ran(client)) >= 2, what="runs by the new schedule")


def test_d_deletes_only_after_y(console: Open, add: Add, store: ScheduleStore) -> None:
    add("old import")
    terminal = console()
    ready(terminal, "old import")
    for no in ("\r", "\x1b", "n"):
        terminal.press("d")
        terminal.wait_for_text("cannot be undone")
        terminal.press(no)
        wait_for(lambda: "cannot be undone" not in terminal.text, what="the end of the dialog")
    assert store.get("old import") is not None
    terminal.press("d")
    terminal.wait_for_text("cannot be undone")
    terminal.press("y")
    terminal.wait_for_text("is deleted")
    assert store.get("old import") is None
    assert client_keys(store) == []


def client_keys(store: ScheduleStore) -> list[str]:
    return [key for key in store.client.keys("*") if "old import" in key]


def test_an_edit_of_an_entry_that_changed_is_refused_and_keeps_the_text(
    console: Open, add: Add, app: Celery, store: ScheduleStore
) -> None:
    add("count stock", every=600)
    terminal = console()
    ready(terminal, "count stock")
    terminal.press("e")
    type_schedule(terminal, "every 5m", "every 5 minutes")
    other = Operations(store, app=app, actor="ana@elsewhere")
    other.edit_schedule("count stock", parse_schedule("every 7m"))
    terminal.press("\r")
    terminal.wait_for_text("Changed meanwhile")
    screen = terminal.text
    assert "every 10m" in screen  # what was seen
    assert "every 7m" in screen  # what is there
    assert "every 5m" in screen  # what was typed
    assert every(store, "count stock") == 420
    terminal.press("\r")  # enter alone goes back
    terminal.wait_for_text("Not saved")
    assert "every 5m" in terminal.text
    assert every(store, "count stock") == 420
    # Enter alone, however often, never overwrites it.
    for _ in range(3):
        terminal.press("\r")
        terminal.wait_for_text("Changed meanwhile")
        terminal.press("\r")
        wait_for(lambda: "Changed meanwhile" not in terminal.text, what="the end of the dialog")
    assert every(store, "count stock") == 420
    terminal.press("\r")
    terminal.wait_for_text("Changed meanwhile")
    terminal.press("o")
    terminal.wait_for_text("is saved")
    assert every(store, "count stock") == 300


def test_a_pause_of_an_entry_that_changed_shows_both_versions(
    console: Open, add: Add, app: Celery, store: ScheduleStore
) -> None:
    add("count stock", every=600)
    terminal = console()
    ready(terminal, "count stock")
    terminal.press("p")
    terminal.wait_for_text("It will not run by its schedule")
    other = Operations(store, app=app, actor="ana@elsewhere")
    other.edit_schedule("count stock", parse_schedule("every 7m"))
    terminal.press("\r")
    terminal.wait_for_text("Changed meanwhile")
    assert view(store, "count stock").pause is None
    terminal.press("o")
    terminal.wait_for_text("is paused")
    assert view(store, "count stock").pause is not None
    assert every(store, "count stock") == 420


@pytest.mark.parametrize("key", ["p", "t", "e", "d"])
def test_read_only_says_why_nothing_happens(
    console: Open, add: Add, store: ScheduleStore, url: str, key: str
) -> None:
    add("count stock")
    before = store.get("count stock")
    terminal = console("--url", url, "--read-only")
    ready(terminal, "count stock")
    assert "read-only" in terminal.text
    terminal.press(key)
    terminal.wait_for_text("This console is read-only")
    assert store.get("count stock") == before


@pytest.mark.parametrize("key", ["p", "t", "e", "d", "\r"])
def test_without_an_entry_a_key_says_that_none_is_selected(console: Open, key: str) -> None:
    terminal = console()
    terminal.wait_for_text("● live")
    terminal.press(key)
    terminal.wait_for_text("No entry is selected")


def test_the_verbs_work_against_the_demo(
    console: Open, server: Server, client: redis.Redis
) -> None:
    terminal = console("demo", "--url", server.url(), columns=100, lines=40)
    terminal.wait_for_text("ping payment provider", 60)
    terminal.wait_for_text("✓ succeeded", 60)
    (key,) = client.keys("*:schedule")
    prefix = str(key).removesuffix(":schedule")

    def entry(name: str, field: str) -> dict[str, object]:
        loaded: dict[str, object] = json.loads(str(client.hget(prefix + name, field) or "{}"))
        return loaded

    def only(name: str) -> None:
        terminal.press("/")
        terminal.wait_for_text("status:failed")
        terminal.press(f'name:"{name}"\r')
        terminal.wait_for_text("1 of 16")

    def everything() -> None:
        terminal.press("\x1b")
        terminal.wait_for_text("16 entries")

    only("database backup")
    terminal.press("t")
    terminal.wait_for_text("Run now")
    terminal.press("y")
    terminal.wait_for_text("Run of database backup succeeded", 60)
    assert entry("database backup", "outcome")["status"] == "succeeded"
    terminal.press("p")
    terminal.wait_for_text("It will not run by its schedule")
    terminal.press("disk is full\r")
    terminal.wait_for_text("‖ paused")
    assert entry("database backup", "definition")["enabled"] is False
    everything()
    only("confirm orders")
    terminal.press("e")
    type_schedule(terminal, "every 2s", "every 2 seconds")
    terminal.press("\r")
    terminal.wait_for_text("is saved")
    wait_for(lambda: entry("confirm orders", "meta").get("total_run_count", 0), 60, what="a run")
    terminal.press("d")
    terminal.wait_for_text("cannot be undone")
    terminal.press("y")
    terminal.wait_for_text("is deleted")
    assert not client.exists(prefix + "confirm orders")
    terminal.press("q")
    assert terminal.wait() == 0
    assert client.keys("*") == []


@pytest.mark.parametrize("burst", ["p\r", "t\r", "e\r", "d\r", "p/", "d?", "ds", "tt", "?d"])
def test_keys_that_come_in_one_piece_open_one_dialog_that_can_be_left(
    console: Open, add: Add, store: ScheduleStore, burst: str
) -> None:
    add("count stock")
    before = store.get("count stock")
    terminal = console()
    ready(terminal, "count stock")
    terminal.press(burst)
    wait_for(lambda: "Cancel" in terminal.text or "Close" in terminal.text, what="a dialog")
    never(lambda: "/" in terminal.text.splitlines()[-2][:3], 0.5, what="a field below the dialog")
    terminal.press("\x1b")
    wait_for(
        lambda: "Cancel" not in terminal.text and "Close" not in terminal.text,
        what="the end of the dialog",
    )
    terminal.press("/")
    terminal.wait_for_text("status:failed")
    assert store.get("count stock") == before


def test_text_typed_right_after_the_filter_key_goes_into_the_filter(
    console: Open, add: Add, store: ScheduleStore
) -> None:
    add("depot")
    add("count stock")
    terminal = console()
    ready(terminal, "depot")
    terminal.press("/dep")
    terminal.wait_for_text("1 of 2")
    terminal.wait_for_text("filter dep")
    assert "Cancel" not in terminal.text


@pytest.mark.parametrize("end", ["\r", "\n"])
def test_escape_and_enter_at_once_leave_the_editor_without_saving(
    console: Open, add: Add, store: ScheduleStore, end: str
) -> None:
    add("count stock", every=600)
    terminal = console()
    ready(terminal, "count stock")
    terminal.press("e")
    type_schedule(terminal, "every 5m", "every 5 minutes")
    terminal.press("\x1b" + end)
    wait_for(lambda: "Edit the schedule" not in terminal.text, what="the end of the editor")
    never(lambda: every(store, "count stock") != 600, 0.5, what="a change")
