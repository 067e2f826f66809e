"""The command line: its commands, its exit codes, its error sentences."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from celery import Celery
from celery.schedules import crontab, schedule

from redbeat_core import RedBeatSchedulerEntry
from redbeat_core.entries.view import EntryView, decode_record
from redbeat_core.storage.schedule_store import ScheduleStore
from redbeat_tui import cli
from tests.console.conftest import Run
from tests.support.processes import Processes
from tests.support.server import Server, free_port

NAMES = (
    "daily report",
    "a:b:c",
    "path/to/entry",
    'it\'s "quoted" \\ 100%',
    "定期レポート 🎉",
    "--looks-like-an-option",
    "-n",
    "[bold]markup[/bold]",
    " spaces around ",
    "שלום",
)


def view(store: ScheduleStore, name: str) -> EntryView:
    record = store.get(name)
    assert record is not None
    return decode_record(record)


@pytest.mark.parametrize("name", NAMES)
def test_every_verb_takes_any_name(
    run: Run, store: ScheduleStore, add: Callable[..., None], name: str
) -> None:
    add(name)
    assert run("show", "--", name).exit_code == 0
    assert json.loads(run("show", "--json", "--", name).stdout)["name"] == name
    assert run("pause", "--note", "why [/not]", "--", name).exit_code == 0
    pause = view(store, name).pause
    assert pause is not None
    assert pause.note == "why [/not]"
    assert run("resume", "--", name).exit_code == 0
    assert view(store, name).pause is None
    assert run("edit", "--", name, "every 5m").exit_code == 0
    assert "every 5m" in run("show", "--", name).stdout
    assert run("trigger", "--", name).exit_code == 0
    assert store.client.xlen(store.keys.triggers) == 1
    (entry,) = json.loads(run("list", "--json").stdout)
    assert entry["name"] == name
    assert run("delete", "--yes", "--", name).exit_code == 0
    assert store.get(name) is None


def test_list_aligns_its_columns(run: Run, add: Callable[..., None], app: Celery) -> None:
    add("短い")
    add("a much longer name", crontab(minute="0", hour="9", app=app))
    head, *lines = run("list").stdout.splitlines()
    assert head.split()[:3] == ["NAME", "TASK", "SCHEDULE"]
    assert len(lines) == 2
    assert lines[0].startswith("短い                shop.record  every hour")
    assert lines[1].startswith("a much longer name  shop.record  ")


def test_list_filters_and_sorts(run: Run, add: Callable[..., None]) -> None:
    for name in ("beta", "alpha", "gamma"):
        add(name)
    entries = json.loads(run("list", "--json", "--sort", "name", "--filter", "!gamma").stdout)
    assert [entry["name"] for entry in entries] == ["alpha", "beta"]
    wrong = run("list", "--filter", "status:nonsense")
    assert wrong.exit_code == 1
    assert "no status is named" in wrong.stderr


def test_options_work_before_and_behind_the_command(
    run: Run, add: Callable[..., None], url: str
) -> None:
    add("daily report")
    other = url.rpartition("/")[0] + "/5"
    for arguments in (("--url", other, "list", "--json"), ("list", "--json", "--url", other)):
        assert json.loads(run(*arguments).stdout) == []
    # The last option on the line wins.
    entries = json.loads(run("--url", other, "list", "--json", "--url", url).stdout)
    assert len(entries) == 1


def test_an_edit_shows_what_is_wrong_and_where(
    run: Run, store: ScheduleStore, add: Callable[..., None]
) -> None:
    add("daily report")
    result = run("edit", "daily report", "0 25 * * *")
    assert result.exit_code == 1
    assert "25" in result.stderr
    assert "column" in result.stderr
    assert result.stdout == ""
    assert view(store, "daily report").schedule == schedule(3600)


def test_if_version_refuses_an_entry_that_changed_meanwhile(
    run: Run, store: ScheduleStore, add: Callable[..., None]
) -> None:
    add("daily report")
    seen = json.loads(run("show", "daily report", "--json").stdout)["version"]
    assert run("edit", "daily report", "every 5m").exit_code == 0
    for arguments in (("pause",), ("delete", "--yes"), ("trigger",)):
        result = run(*arguments, "daily report", "--if-version", seen)
        assert result.exit_code == 1, arguments
        assert "was changed by somebody else" in result.stderr
    assert view(store, "daily report").pause is None
    now = view(store, "daily report").version
    assert run("pause", "daily report", "--if-version", now).exit_code == 0


def test_delete_asks_and_without_a_terminal_refuses(
    run: Run, store: ScheduleStore, add: Callable[..., None]
) -> None:
    add("daily report")
    result = run("delete", "daily report")
    assert result.exit_code == 1
    assert "--yes" in result.stderr
    assert store.get("daily report") is not None


@pytest.mark.parametrize(
    "arguments",
    [
        ("pause", "x"),
        ("resume", "x"),
        ("trigger", "x"),
        ("edit", "x", "every 5m"),
        ("delete", "x"),
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.parametrize("how", ["before", "behind", "environment"])
def test_read_only_refuses_every_change(
    run: Run,
    store: ScheduleStore,
    add: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    how: str,
) -> None:
    add("x")
    before = store.get("x")
    if how == "environment":
        monkeypatch.setenv("REDBEAT_READ_ONLY", "1")
        result = run(*arguments)
    else:
        result = (
            run("--read-only", *arguments) if how == "before" else run(*arguments, "--read-only")
        )
    assert result.exit_code == 1
    assert "read-only" in result.stderr
    assert store.get("x") == before


@pytest.mark.parametrize(
    "arguments",
    [("show",), ("pause",), ("resume",), ("trigger",), ("edit", "every 5m"), ("delete", "--yes")],
    ids=lambda arguments: arguments[0],
)
def test_an_unknown_or_invalid_name_is_refused_with_a_sentence(
    run: Run, arguments: tuple[str, ...]
) -> None:
    verb, *rest = arguments
    for name, reason in (("nobody", "there is no entry"), (":schedule", "starts with ':'")):
        line = [verb, name, *rest]
        result = run(*line)
        assert result.exit_code == 1
        assert reason in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_a_redis_that_does_not_answer_is_reported_in_a_sentence(run: Run) -> None:
    result = run("list", "--url", f"redis://:s3cret@127.0.0.1:{free_port()}/0")
    assert result.exit_code == 1
    assert "cannot be reached" in result.stderr
    assert "s3cret" not in result.output


def test_a_wrong_password_is_reported_in_a_sentence(
    run: Run, new_server: Callable[..., Server]
) -> None:
    server = new_server(password="right-one")
    for given in ("", ":wr0ng@"):
        url = server.url().replace(":right-one@", given)
        result = run("list", "--url", url)
        assert result.exit_code == 1
        assert "password" in result.stderr
        assert "wr0ng" not in result.output


def test_a_wrong_database_is_reported_in_a_sentence(run: Run, url: str) -> None:
    result = run("list", "--url", url.rpartition("/")[0] + "/9999")
    assert result.exit_code == 1
    assert "no database of that number" in result.stderr


def test_a_cluster_without_a_hash_tag_is_reported_in_a_sentence(
    run: Run, new_server: Callable[..., Server]
) -> None:
    server = new_server(options={"cluster-enabled": "yes"})
    result = run("list", "--url", server.url())
    assert result.exit_code == 1
    assert "is a Cluster" in result.stderr


@pytest.mark.parametrize(
    "url", ["http://example.org", "localhost", "redis://h:port/0", "redis://["]
)
def test_an_invalid_url_is_reported_in_a_sentence(run: Run, url: str) -> None:
    result = run("list", "--url", url)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_wrong_usage_of_the_command_line_is_exit_code_2(run: Run) -> None:
    for arguments in (("nonsense",), ("pause",), ("list", "--nonsense"), ("edit", "x")):
        assert run(*arguments).exit_code == 2


def test_without_a_terminal_the_console_is_refused_in_a_sentence(run: Run) -> None:
    result = run()
    assert result.exit_code == 1
    assert "needs a terminal" in result.stderr


def test_an_app_is_found_as_celery_does(
    run: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDBEAT_REDIS_URL")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "some_project.py").write_text(
        "from celery import Celery\n"
        f"app = Celery('p', broker={url!r}, set_as_current=False)\n"
        "app.conf.redbeat_key_prefix = 'other:'\n"
        "app.conf.timezone = 'Europe/Paris'\n"
    )
    app = Celery("x", broker=url, set_as_current=False)
    app.conf.redbeat_key_prefix = "other:"
    RedBeatSchedulerEntry("theirs", "shop.record", schedule(60), app=app).save()
    (entry,) = json.loads(run("-A", "some_project", "list", "--json").stdout)
    assert entry["name"] == "theirs"
    assert "CE" in run("-A", "some_project", "show", "theirs").stdout
    wrong = run("-A", "no_such_project", "list")
    assert wrong.exit_code == 1
    assert "no_such_project" in wrong.stderr
    (tmp_path / "broken_project.py").write_text("raise RuntimeError('no settings')\n")
    broken = run("-A", "broken_project", "list")
    assert broken.exit_code == 1
    assert "no settings" in broken.stderr


def test_every_command_documents_itself(run: Run) -> None:
    assert isinstance(cli.cli, click.Group)
    for name, command in cli.cli.commands.items():
        assert command.help, name
        assert run(name, "--help").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "value", "expected"),
    [
        ((), "true", True),
        ((), "1", True),
        ((), "off", False),
        (("--read-only",), "0", True),
        (("--no-read-only",), "yes", False),
    ],
)
def test_the_demo_takes_read_only_as_every_command_does(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    value: str,
    expected: bool,
) -> None:
    monkeypatch.setenv("REDBEAT_READ_ONLY", value)
    asked: list[bool] = []

    def opened(url: str | None, *, read_only: bool, **_: object) -> int:
        asked.append(read_only)
        return 0

    monkeypatch.setattr("redbeat_tui.demo.run", opened)
    assert run("demo", *arguments).exit_code == 0
    assert asked == [expected]


def test_a_demo_on_a_cluster_is_refused_in_a_sentence(
    run: Run, new_server: Callable[..., Server]
) -> None:
    server = new_server(options={"cluster-enabled": "yes"})
    result = run("demo", "--headless", "--url", server.url())
    assert result.exit_code == 1
    assert "is a Cluster" in result.output
    assert "cannot be a Celery broker" in result.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_output_that_is_full_is_not_blamed_on_redis(
    url: str, add: Callable[..., None], processes: Processes
) -> None:
    add("daily report")
    code = f"""
import os, subprocess, sys
with open("/dev/full", "w") as full:
    arguments = [sys.executable, "-m", "redbeat_tui", "--url", {url!r}, "list"]
    sys.exit(subprocess.run(arguments, stdout=full).returncode)
"""
    listing = processes.python("listing", ["-c", code])
    assert listing.wait() != 0
    assert "redbeat-tui: this cannot be read or written: No space left" in listing.log
    assert "Redis" not in listing.log
    assert "Traceback" not in listing.log
