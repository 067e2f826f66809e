"""An error that nobody expects and no entry is to blame for is logged once, and ends no beat."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.dispatch.batch import Batch
from redbeat_core.dispatch.isolation import UnexpectedErrors, is_unexpected
from redbeat_core.dispatch.messages.template_cache import TemplateCache
from redbeat_core.leadership.lease import Lease
from redbeat_core.maintenance.finished_entries import FinishedEntries
from redbeat_core.maintenance.reconcile import Reconciler
from redbeat_core.storage.leader_store import LeaderStore
from tests.support.journal import Journal
from tests.support.processes import Processes
from tests.support.stepping import due_entry, log, run

from .test_isolation import OddError, Step, named, runs

Make = Callable[..., RedBeatScheduler]

NOBODYS: Mapping[str, tuple[Any, str]] = {
    "the lease": (Lease, "acquire"),
    "the claim": (Batch, "claim"),
    "a batch's beginning": (TemplateCache, "begin_batch"),
    "the broker's preparing": (Batch, "prepare"),
}
BESIDE: Mapping[str, tuple[Any, str]] = {
    "static entries": (RedBeatScheduler, "setup_schedule"),
    "the look at all entries": (Reconciler, "look"),
    "finished entries": (FinishedEntries, "delete"),
    "a page of entries": (LeaderStore, "changed_page"),
}


def raising(monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str]) -> list[str]:
    texts = ["out of the blue 1"]

    def odd(*_: Any, **__: Any) -> Any:
        raise OddError(texts[-1])

    monkeypatch.setattr(*where, odd)
    return texts


@pytest.mark.parametrize("what", NOBODYS)
def test_an_error_that_is_nobodys_is_logged_once_and_the_loop_goes_on(
    app: Celery,
    client: redis.Redis,
    make_scheduler: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    what: str,
) -> None:
    scheduler = make_scheduler()
    due_entry(app, "bread")
    with monkeypatch.context() as broken:
        texts = raising(broken, NOBODYS[what])
        pauses = [scheduler._step() for _ in range(4)]
        assert pauses == sorted(pauses)
        assert pauses[0] > 0
        assert len(tracebacks(caplog)) == 1
        texts.append("something else")
        scheduler._step()
        assert len(tracebacks(caplog)) == 2
    assert "failed 3 more times in the same way" in caplog.text
    assert log(app, events.RUN_FAILED) == []
    run(scheduler)
    assert runs(client) == {"bread": 1}
    assert "works again" in caplog.text


def tracebacks(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("what", BESIDE)
def test_an_error_of_the_work_beside_the_batches_holds_up_no_entry(
    app: Celery,
    client: redis.Redis,
    make_scheduler: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    what: str,
) -> None:
    monkeypatch.setattr("redbeat_core.maintenance.reconcile.SCAN_EVERY", 0.0)
    scheduler = make_scheduler()
    raising(monkeypatch, BESIDE[what])
    for number in range(3):
        due_entry(app, f"bread{number}")
        run(scheduler)
        assert len(runs(client)) == number + 1
    assert len(tracebacks(caplog)) == 1


def test_an_entry_that_cannot_be_looked_at_does_not_hold_up_the_look_at_the_others(
    app: Celery, make_scheduler: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redbeat_core.maintenance.reconcile.SCAN_EVERY", 0.0)
    scheduler = make_scheduler()
    scheduler.setup_schedule()
    for name in ("bad", "lunar"):
        due_entry(app, name).reschedule()
    text = {"name": "lunar", "task": "x", "schedule": {"__type__": "lunar"}}
    scheduler.store.client.hset("redbeat:lunar", "definition", json.dumps(text))
    Step(Reconciler, "_check", named(1)).break_(monkeypatch)
    run(scheduler)
    assert [event.subject for event in log(app, events.RUN_FAILED)] == ["bad"]
    assert [event.subject for event in log(app, events.ENTRY_INVALID)] == ["lunar"]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_is_to_end_beat_ends_it(
    app: Celery,
    make_scheduler: Make,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[BaseException],
) -> None:
    scheduler = make_scheduler()
    due_entry(app, "bread")

    def ending(*_: Any) -> Any:
        raise kind

    monkeypatch.setattr(Batch, "work_of", ending)
    with pytest.raises(kind):
        scheduler._step()


@pytest.mark.parametrize(
    ("exc", "unexpected"),
    [
        (OddError("x"), True),
        (MemoryError(), True),
        (OSError("x"), False),
        (redis.ConnectionError("x"), False),
        (redis.ResponseError("WRONGTYPE Operation .. script: 1f, on @user_script:3."), False),
        (redis.ResponseError("OOM command not allowed .., on @user_script:3."), False),
        (redis.ResponseError("Error running script: @user_script:3: READONLY You ..."), False),
        (redis.ResponseError("user_script:3: invalid value (table) at index 2 .."), True),
        (redis.ResponseError("Error running script (call to f_1): @user_script:3: bad"), True),
    ],
)
def test_what_redis_says_of_itself_is_no_entrys_error(exc: Exception, unexpected: bool) -> None:
    assert is_unexpected(exc) is unexpected


def test_an_unexpected_error_is_logged_again_when_it_changes_and_counted_in_between(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = UnexpectedErrors()
    for number in range(5):
        errors.met("The look", OddError(f"at 0x{number:08x}, line {number}"))
    errors.met("The other look", OddError("x"))
    errors.met("The look", OddError("another"))
    errors.over("The look")
    errors.over("The look")
    assert [re.sub(r"0x\w+", "", record.getMessage()) for record in caplog.records] == [
        "beat: The look failed, trying again: OddError: at , line 0",
        "beat: The other look failed, trying again: OddError: x",
        "beat: The look failed 4 more times in the same way",
        "beat: The look failed, trying again: OddError: another",
        "beat: The look works again",
    ]


def test_beats_live_with_an_entry_that_would_have_ended_them(
    app: Celery, client: redis.Redis, processes: Processes
) -> None:
    RedBeatSchedulerEntry("good", "shop.record", 0.5, app=app).save()
    for name in ("no number", "infinite"):
        RedBeatSchedulerEntry(name, "shop.record", 0.5, app=app).save()
    journal = Journal(client)
    leader = processes.beat("leader")
    journal.wait_for_runs("good", 2)
    for name in ("no number", "infinite"):
        journal.wait_for_runs(name, 2)
    standby = processes.beat("standby")
    standby.wait_for_log("Standing by")
    for number, headers in enumerate((["x"], "x", 5, True, [["a", 1]])):
        options = {"headers": headers}
        RedBeatSchedulerEntry(f"bad{number}", "shop.record", 0.5, options=options, app=app).save()
    for value in ("nan", "inf", "-inf"):
        client.hset("redbeat:no number", "due", "nan")
        client.hset("redbeat:infinite", "due", value)
        journal.wait_for_runs("no number", after=journal.seq)
        journal.wait_for_runs("infinite", after=journal.seq)
    for number in range(5):
        failed = journal.wait(events.RUN_FAILED, subject=f"bad{number}")
        assert "headers" in failed.data["reason"]
    journal.wait_for_runs("good", 2, after=journal.seq)
    assert leader.running
    assert standby.running
    leader.kill()
    standby.wait_for_log("leading as", timeout=40)
    journal.wait_for_runs("good", 4, after=journal.seq)
    assert standby.running
    assert "Traceback" not in leader.log + standby.log
