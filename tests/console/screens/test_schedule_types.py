"""Every type of schedule through the console, and the warnings about old rules."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from redbeat.schedulers import RedBeatSchedulerEntry as TheirEntry
from redbeat.schedules import rrule as their_rrule

from redbeat_core import RedBeatSchedulerEntry
from redbeat_core.entries.view import decode_record
from redbeat_core.schedules import parse_schedule, rrule
from redbeat_core.storage.schedule_store import ScheduleStore
from redbeat_tui.text import schedule_preview
from tests.console.conftest import Add, Editing, Opened, Run, shown, until

#: Schedules with further runs for a long time, typed in the time zone of the console.
TYPES = (
    "every 5m from 2026-01-01 00:00",
    "0 9 * * * Europe/Berlin",
    "at 2990-12-24 18:00 Europe/Berlin",
    "sunrise 52.52 13.40",
    "DTSTART:20260101T090000Z RRULE:FREQ=DAILY EXDATE:20270101T090000Z",
)


@pytest.mark.parametrize("text", TYPES)
def test_every_type_is_typed_stored_and_shown(
    run: Run, add: Add, store: ScheduleStore, text: str
) -> None:
    add("first")
    assert run("edit", "first", text).exit_code == 0
    record = store.get("first")
    assert record is not None
    view = decode_record(record)
    assert view.schedule == parse_schedule(text)
    assert view.next_run_at is not None
    assert view.next_run_at > datetime.now(UTC)
    entry = json.loads(run("show", "first", "--json").stdout)
    assert parse_schedule(entry["schedule"]) == view.schedule
    assert entry["next_runs"]


async def test_the_editor_takes_the_new_types(editing: Editing, add: Add) -> None:
    add("first")
    async with editing("first", "at 2990-12-24 18:00 Europe/Berlin") as (console, pilot):
        await until(
            pilot, lambda: "once, on 24 Dec 2990 at 18:00" in shown(console), "the description"
        )
        assert "only 1 more to come" in shown(console)
        await pilot.press("ctrl+u", *"at 2020-12-24 18:00")
        await until(pilot, lambda: "is in the past" in shown(console), "the reason")


def test_an_old_rule_is_flagged_and_repaired_by_an_ordinary_edit(
    run: Run, app: Celery, url: str, store: ScheduleStore
) -> None:
    app.conf.timezone = "UTC"
    app.conf.redbeat_redis_url = url
    berlin = ZoneInfo("Europe/Berlin")
    offset = datetime(2026, 1, 5, 9, tzinfo=berlin)
    TheirEntry("old", "shop.record", their_rrule("DAILY", dtstart=offset), app=app).save()
    zone = ("--timezone", "Europe/Berlin")
    assert "fixed offset +01:00" in run("list", *zone).stdout
    shown_entry = run("show", "old", *zone).stdout
    assert "to repair: redbeat-tui edit old" in shown_entry
    (warning,) = json.loads(run("show", "old", "--json", *zone).stdout)["warnings"]
    assert warning["text"].startswith("fixed offset +01:00")
    assert run("edit", "old", warning["proposal"], *zone).exit_code == 0
    assert json.loads(run("show", "old", "--json", *zone).stdout)["warnings"] == []
    record = store.get("old")
    assert record is not None
    assert decode_record(record).schedule == rrule("DAILY", dtstart=offset)


def warned(run: Run, name: str) -> list[str]:
    shown = json.loads(run("show", name, "--json", "--timezone", "Europe/London").stdout)
    return [warning["text"] for warning in shown["warnings"]]


def test_a_rule_confirmed_as_utc_is_not_flagged_again(run: Run, app: Celery, url: str) -> None:
    app.conf.timezone = "UTC"
    app.conf.redbeat_redis_url = url
    start = datetime(2026, 1, 5, 9, tzinfo=UTC)
    TheirEntry("old", "shop.record", their_rrule("DAILY", dtstart=start), app=app).save()
    assert "if Europe/London was meant" in warned(run, "old")[0]
    # A program that cannot know more about the rule reads and writes it again.
    entry = RedBeatSchedulerEntry.from_key("redbeat:old", app=app)
    entry.args = ["other"]
    entry.save()
    assert "if Europe/London was meant" in warned(run, "old")[0]
    text = json.loads(run("show", "old", "--json").stdout)["schedule"]
    assert run("edit", "old", text, "--timezone", "Europe/London").exit_code == 0
    assert warned(run, "old") == []
    # A rule that celery-redbeat writes later is flagged again.
    other = their_rrule("DAILY", dtstart=start.replace(hour=10))
    TheirEntry("old", "shop.record", other, app=app).save()
    assert "if Europe/London was meant" in warned(run, "old")[0]
    RedBeatSchedulerEntry("new", "shop.record", rrule("DAILY", dtstart=start), app=app).save()
    assert warned(run, "new") == []


def test_preview_marks_the_runs_that_a_clock_change_affects(run: Run) -> None:
    arguments = ("preview", "30 2 * * *", "--tz", "Europe/Berlin", "--from", "2026-03-28 12:00")
    done = run(*arguments, "--count", "2")
    assert done.exit_code == 0
    head, first, second, gap = done.stdout.splitlines()
    assert head == "daily at 02:30"
    assert "▲ Sun 2026-03-29 03:30:00 CEST" in first
    assert "02:30 does not exist: shifted by 1 h" in first
    assert "· Mon 2026-03-30 02:30:00 CEST" in second
    assert "on average" in gap
    skipped = run(*arguments, "--nonexistent", "skip", "--json")
    times = json.loads(skipped.stdout)["times"]
    assert times[0]["runs"] is False
    assert times[0]["notes"] == ["02:30 does not exist: skipped"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("30 2 x * *",), "is no number: 1-31 (at column 6)"),
        (("every 5m", "--tz", "Europe/Belin"), "did you mean Europe/Berlin"),
        (("every 5m", "--from", "soon"), "--from: 'soon' is no time"),
        (("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",), "never runs"),
    ],
)
def test_preview_reports_an_invalid_schedule(
    run: Run, arguments: tuple[str, ...], reason: str
) -> None:
    done = run("preview", *arguments)
    assert done.exit_code == 1
    assert reason in done.stderr


def test_preview_asks_no_server(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDBEAT_REDIS_URL", "redis://127.0.0.1:1/0")
    done = run("preview", "at 2990-12-24 18:00", "--tz", "UTC")
    assert done.exit_code == 0
    assert "that is all: then it is finished" in done.stdout
    assert schedule_preview.BUDGET <= 5


def test_preview_shows_fractions_of_a_second(run: Run) -> None:
    done = run("preview", "every 0.25s", "--from", "2026-03-28 12:00", "--count", "2")
    assert [line.split()[2:4] for line in done.stdout.splitlines()[1:3]] == [
        ["2026-03-28", "12:00:00.25"],
        ["2026-03-28", "12:00:00.5"],
    ]


async def test_the_editor_shows_the_average_time_between_runs(opened: Opened, add: Add) -> None:
    add("first")
    console = opened()
    async with console.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: console.selected_row() is not None, "the entry")
        await pilot.press("e")
        await until(pilot, lambda: "next 5 runs · every hour on average" in shown(console), "it")
        await pilot.press("escape", "enter")
        await until(pilot, lambda: "every hour on average" in shown(console), "the details")


async def test_the_editor_says_when_it_could_not_compute_the_next_runs_in_time(
    opened: Opened, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("first")
    # More runs than can be computed in that time.
    monkeypatch.setattr(schedule_preview, "RUNS", 10**9)
    monkeypatch.setattr(schedule_preview, "BUDGET", 0.05)
    console = opened()
    async with console.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: console.selected_row() is not None, "the entry")
        await pilot.press("e")
        await until(pilot, lambda: "of its runs could be computed" in shown(console), "the bound")
