"""Policies on the command line and in the console's detail."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from redbeat_core.entries.codec import encode_meta
from redbeat_core.entries.policy import ALLOWED, encode_policy
from redbeat_core.entries.view import Counts
from redbeat_core.storage.schedule_store import ScheduleStore
from redbeat_tui.text.policy_text import counts_text, length, policy_lines
from tests.console.conftest import Run


def policy(store: ScheduleStore, name: str = "report") -> dict[str, Any]:
    record = store.get(name)
    assert record is not None
    policy: dict[str, Any] = json.loads(record.policy or "{}")
    return policy


def test_a_policy_is_set_shown_and_reset(
    run: Run, store: ScheduleStore, add: Callable[..., None]
) -> None:
    add("report")
    assert "as the scheduler's settings say" in run("policy", "report").stdout
    arguments = ["--catchup", "all", "--grace", "1h30m", "--jitter", "0.5", "--max-runs", "10"]
    arguments += ["--end", "2099-12-24 18:00 Europe/Berlin", "--keep-finished", "2 days"]
    arguments += ["--timezone", "Europe/Berlin"]
    done = run("policy", "report", *arguments)
    assert done.exit_code == 0, done.stderr
    assert "report is saved; it runs at" in done.stdout
    end = datetime(2099, 12, 24, 17, 0, tzinfo=UTC).timestamp()
    assert policy(store) == {
        "catchup": "all",
        "grace": 5400,
        "jitter": 0.5,
        "end": end,
        "max_runs": 10,
        "keep_finished": 172800,
    }
    for shown in (run("policy", "report").stdout, run("show", "report").stdout):
        for line in (
            "missed runs are made up for",
            "missed when more than 1h30m late",
            "put off by up to 0.5s",
            "until Thu 2099-12-24 ",
            "at most 10 runs",
            "deleted 2d after it finished",
        ):
            assert line in shown
    assert json.loads(run("show", "report", "--json").stdout)["policy"] == policy(store)
    run("policy", "report", "--grace", "none", "--jitter", "default", "--end", "default")
    assert policy(store) == {
        "catchup": "all",
        "grace": None,
        "max_runs": 10,
        "keep_finished": 172800,
    }
    run("policy", "report", "--reset", "--catchup", "skip")
    assert policy(store) == {"catchup": "skip"}
    assert run("policy", "report", "--reset").exit_code == 0
    assert policy(store) == {}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--grace", "soon"), "--grace 'soon' is refused: write a length of time"),
        (("--grace", "5m relative"), "'5m relative' is refused: write a length of time"),
        (("--grace", "day from 2026-01-01"), "is refused: write a length of time"),
        (("--max-runs", "1.5"), "'1.5' is refused: a whole number from 1, or none"),
        (("--grace", "-5"), "'grace' is -5.0"),
        (("--jitter", "none"), "--jitter 'none' is refused"),
        (("--max-runs", "0"), "'max_runs' is 0"),
        (("--max-runs", "many"), "--max-runs 'many' is refused: a whole number"),
        (("--start", "tomorrow"), "--start 'tomorrow' is refused: 'tomorrow' is no time"),
        (
            ("--start", "2099-01-01 00:00", "--end", "2098-01-01 00:00"),
            "is before its 'start' (2099-01-01 00:00:00 UTC)",
        ),
        (("--start", "1900-01-01 00:00"), "'start' is 1900-01-01 00:00:00 UTC: it must be"),
        (("--keep-finished", "inf"), "'keep_finished' is inf"),
    ],
)
def test_an_invalid_policy_is_refused_with_a_sentence(
    run: Run,
    store: ScheduleStore,
    add: Callable[..., None],
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    add("report")
    refused = run("policy", "report", *arguments)
    assert refused.exit_code == 1
    assert reason in refused.stderr
    assert policy(store) == {}


def test_a_policy_that_allows_no_further_run_says_why(
    run: Run, store: ScheduleStore, add: Callable[..., None]
) -> None:
    add("report")
    ended = run("policy", "report", "--end", "2020-01-01 00:00").stdout
    assert "report is saved; it is finished: its policy ended it " in ended
    assert "none: it is finished: its policy ended it " in run("show", "report").stdout
    store.client.hset(store.keys.entry("report"), "meta", encode_meta(RAN_TWICE))
    limited = run("policy", "report", "--end", "none", "--max-runs", "2").stdout
    assert "it is finished: it has made the 2 runs that its policy allows" in limited


RAN_TWICE = {"last_run_at": datetime(2026, 1, 1, tzinfo=UTC), "total_run_count": 2}


def test_a_policy_is_changed_on_the_version_seen(
    run: Run, store: ScheduleStore, add: Callable[..., None]
) -> None:
    add("report")
    seen = json.loads(run("show", "report", "--json").stdout)["version"]
    assert run("policy", "report", "--grace", "5", "--if-version", seen).exit_code == 0
    refused = run("policy", "report", "--grace", "6", "--if-version", seen)
    assert refused.exit_code == 1
    assert "was changed by somebody else" in refused.stderr
    assert run("--read-only", "policy", "report", "--grace", "6").exit_code == 1
    assert run("policy", "no such").exit_code == 1
    assert policy(store) == {"grace": 5.0}


@pytest.mark.parametrize("name", ALLOWED)
def test_each_member_of_a_policy_has_a_description(name: str) -> None:
    values: list[Any] = [None, 0, 0.0, 1, 5, 7.5, 1e9, "one", "all", "skip", "shift"]
    values += ["first", "last", "both"]
    allowed = [value for value in values if ALLOWED[name][0](value)]
    texts = [policy_lines(encode_policy({name: value}), UTC) for value in allowed]
    assert all(len(lines) == 1 and lines[0] for lines in texts)
    assert len(texts) >= 2


def test_the_counts_of_missed_and_skipped_runs_are_shown() -> None:
    assert counts_text(Counts()) == ""
    assert counts_text(Counts(1234, 5)) == "1,234 missed, 5 skipped"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (90, "1m30s"), (5400.0, "1h30m"), (0.25, "0.25s")]
)
def test_a_length_is_shown_as_it_is_typed(seconds: float, text: str) -> None:
    assert length(seconds) == text
