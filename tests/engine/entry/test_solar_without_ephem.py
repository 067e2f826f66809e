"""Tests solar schedules without ephem: the entry is invalid, and nothing else fails."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import redis
from celery import Celery
from celery.schedules import schedule

from redbeat_core import RedBeatSchedulerEntry
from redbeat_core.schedules import solar
from tests.support.processes import Processes
from tests.support.shop import ran
from tests.support.waiting import wait_for

REASON = "needs the package ephem, which is not installed: pip install 'redbeat-tui[solar]'"


@pytest.fixture
def without_ephem(tmp_path: Path) -> Mapping[str, str]:
    """Return the environment of a process that cannot import ephem."""
    blocker = tmp_path / "blocker" / "ephem.py"
    blocker.parent.mkdir()
    blocker.write_text("raise ImportError('it is not here')\n")
    return {"PYTHONPATH": f"{blocker.parent}:{Path(__file__).parents[3]}"}


def test_a_beat_without_ephem_says_what_to_install_and_runs_the_others(
    processes: Processes, app: Celery, client: redis.Redis, without_ephem: Mapping[str, str]
) -> None:
    sun = solar("sunrise", 52.52, 13.40, app=app)
    for name, when in (("sun", sun), ("other", schedule(1, app=app))):
        RedBeatSchedulerEntry(name, "shop.record", when, args=[name], app=app).save()
    stored = client.hgetall("redbeat:sun")
    client.zadd("redbeat::schedule", {"redbeat:sun": 1})
    processes.worker()
    beat = processes.beat(environment=without_ephem)
    beat.wait_for_log("needs the package ephem")
    wait_for(lambda: len(ran(client)) > 2 or None, 30, what="runs of the other entry")
    assert {run.args[0] for run in ran(client)} == {"other"}
    assert "Traceback" not in beat.log
    assert beat.running
    assert client.hget("redbeat:sun", "definition") == stored["definition"]
    beat.terminate()
    assert client.zscore("redbeat::schedule", "redbeat:sun") == 1
    # With ephem the next sunrise can be computed.
    processes.beat("later")
    due = float(stored["due"])

    def scheduled() -> bool | None:
        return client.zscore("redbeat::schedule", "redbeat:sun") == due or None

    wait_for(scheduled, 30, what="the next run")


def test_the_console_without_ephem_shows_the_entry_with_the_reason(
    processes: Processes, app: Celery, url: str, without_ephem: Mapping[str, str]
) -> None:
    sun = solar("sunrise", 52.52, 13.40, app=app)
    RedBeatSchedulerEntry("sun", "shop.record", sun, app=app).save()
    environment = {**without_ephem, "REDBEAT_REDIS_URL": url}

    def said(name: str, *words: str) -> tuple[int, str]:
        console = processes.console(name, words, environment=environment)
        return console.wait(), console.log

    code, text = said("show", "show", "sun", "--json")
    assert code == 0
    assert json.loads(text)["error"] == f"solar: a schedule of the sun {REASON}"
    code, text = said("list", "list")
    assert (code, REASON in text) == (0, True)
    for name, words in (
        ("preview", ["preview", "sunset 52.52 13.40"]),
        ("edit", ["edit", "sun", "sunset 52.52 13.40"]),
    ):
        code, text = said(name, *words)
        assert (code, REASON in text, "Traceback" in text) == (1, True, False), text
    code, text = said("repair", "edit", "sun", "0 6 * * *")
    assert code == 0, text
