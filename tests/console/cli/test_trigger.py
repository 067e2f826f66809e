"""``redbeat-tui trigger``: values for one run, and the messages about it."""

from __future__ import annotations

import json

import pytest

from redbeat_core.storage.schedule_store import ScheduleStore
from tests.console.conftest import Add, Run
from tests.support.processes import Processes


def test_trigger_wait_reports_that_the_run_was_dispatched(
    run: Run, add: Add, processes: Processes
) -> None:
    add("daily report")
    nobody = run("trigger", "daily report", "--wait", "0.3")
    assert nobody.exit_code == 1
    assert "no beat took the run" in nobody.stderr
    processes.beat().wait_for_log("lead")
    result = run("trigger", "daily report", "--wait", "20")
    assert result.exit_code == 0, result.stderr
    assert "is dispatched, task" in result.stdout


def test_trigger_takes_values_for_this_run_alone(run: Run, add: Add, store: ScheduleStore) -> None:
    add("daily report")
    arguments = ["--args", '["march", 2]', "--kwargs", '{"dry": true}', "--queue", "slow"]
    arguments += ["--expires", "60", "--count-run", "--note", "again"]
    result = run("trigger", "daily report", *arguments)
    assert result.exit_code == 0, result.stderr
    ((_, fields),) = store.client.xrange(store.keys.triggers)
    request = json.loads(fields["request"])
    assert result.stdout.strip().endswith(f"trigger {request.pop('id')}")
    del request["actor"], request["at"]
    assert request == {
        "name": "daily report",
        "note": "again",
        "args": ["march", 2],
        "kwargs": {"dry": True},
        "queue": "slow",
        "expires": 60.0,
        "count_run": True,
    }


@pytest.mark.parametrize(
    ("arguments", "exit_code", "reason"),
    [
        (("--args", "[1"), 2, "args is not JSON: Expecting ',' delimiter at character 3"),
        (("--args", '{"a": 1}'), 2, "args must be a list"),
        (("--kwargs", "[1]"), 2, "kwargs must be an object"),
        (("--expires", "0"), 1, "expires must be a number of seconds"),
        (("--expires", "nan"), 1, "expires must be a number of seconds"),
        (("--expires", "soon"), 2, "'soon': write a length of time as in 90s"),
        (("--expires", "1e9"), 1, "expires must be a number of seconds"),
        (("--queue", ""), 1, "queue must be a text that is not empty"),
        (("--args", "[NaN]"), 1, "args cannot be written as JSON"),
    ],
)
def test_trigger_reports_an_invalid_value_and_writes_nothing(
    run: Run,
    add: Add,
    store: ScheduleStore,
    arguments: tuple[str, ...],
    exit_code: int,
    reason: str,
) -> None:
    add("daily report")
    result = run("trigger", "daily report", *arguments)
    assert result.exit_code == exit_code
    assert reason in result.stderr
    assert "Traceback" not in result.output
    assert store.client.xlen(store.keys.triggers) == 0


@pytest.mark.parametrize(
    ("typed", "seconds"), [("90", 90.0), ("0.5", 0.5), ("5m", 300.0), ("1h30m", 5400.0)]
)
def test_trigger_takes_a_length_of_time(
    run: Run, add: Add, store: ScheduleStore, typed: str, seconds: float
) -> None:
    add("daily report")
    result = run("trigger", "daily report", "--expires", typed)
    assert result.exit_code == 0, result.stderr
    ((_, fields),) = store.client.xrange(store.keys.triggers)
    assert json.loads(fields["request"])["expires"] == seconds
