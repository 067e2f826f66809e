"""Batches that overlap: what goes wrong in one loses and doubles nothing, there or in the next."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatScheduler, events
from redbeat_core.dispatch import batch_work
from redbeat_core.storage.scripts import ScriptPipeline
from tests.support.stepping import due_entry, log, queued, run

Make = Callable[..., RedBeatScheduler]
COUNT = 120


@pytest.fixture
def scheduler(make_scheduler: Make, client: redis.Redis) -> RedBeatScheduler:
    """One that has 120 entries to dispatch at once, some at a time, and knows their form."""
    scheduler = make_scheduler(redbeat_batch_size=10)
    for number in range(3):
        due_entry(scheduler.app, f"first {number}")
    run(scheduler)
    client.delete("shop")
    for number in range(COUNT):
        due_entry(scheduler.app, f"e{number}", args=[number])
    return scheduler


def at_question(
    monkeypatch: pytest.MonkeyPatch, number: int, name: str, act: Callable[[ScriptPipeline], object]
) -> None:
    """Do *act* before the question of that number and name is asked."""
    ask = ScriptPipeline.send
    asked: list[str] = []

    def acting(self: ScriptPipeline, what: str, *words: Any) -> None:
        if what == name:
            asked.append(what)
            if len(asked) == number:
                act(self)
        ask(self, what, *words)

    monkeypatch.setattr(ScriptPipeline, "send", acting)


def runs(client: redis.Redis) -> list[str]:
    """The entries whose runs are enqueued."""
    return sorted(message["headers"]["redbeat"]["entry"] for message in queued(client))


EACH = sorted(f"e{number}" for number in range(COUNT))


def test_all_that_is_due_goes_out_once_in_order(
    scheduler: RedBeatScheduler, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redbeat_core.dispatch.runner.PIPELINE_SECONDS", 60.0)
    asked: list[str] = []
    at_question(monkeypatch, 1, "commit", lambda ahead: asked.append("commit"))
    assert scheduler._step() == 0
    assert asked
    assert runs(client) == EACH
    numbers = [message["headers"]["redbeat"]["nominal"] for message in queued(client)]
    assert numbers == sorted(numbers, reverse=True)
    assert len(log(scheduler.app, events.RUN_DISPATCHED)) == COUNT + 3


@pytest.mark.parametrize("name", ["claim", "commit"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_server_that_forgot_the_scripts_gets_them_again(
    scheduler: RedBeatScheduler,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    number: int,
) -> None:
    at_question(monkeypatch, number, name, lambda ahead: client.script_flush())
    run(scheduler)
    assert runs(client) == EACH


@pytest.mark.parametrize("name", ["claim", "commit"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_connection_that_breaks_loses_and_doubles_nothing(
    scheduler: RedBeatScheduler,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    number: int,
) -> None:
    def kill(ahead: ScriptPipeline) -> None:
        # All of them, the broker's connection, too; but not the one that says so.
        execute: Any = client.execute_command
        execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    at_question(monkeypatch, number, name, kill)
    for _ in range(40):
        if scheduler._step() > 0 and len(queued(client)) >= COUNT:
            break
        scheduler._redis_wait = 0.0
    assert runs(client) == EACH


@pytest.mark.parametrize("number", [1, 2, 3])
def test_who_lost_the_lease_enqueues_nothing_more(
    scheduler: RedBeatScheduler,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    # Not with a TTL that its thread would renew.
    at_question(
        monkeypatch, number, "commit", lambda ahead: client.set("redbeat::lock", "another's")
    )
    scheduler._step()
    before = runs(client)
    assert len(before) < COUNT
    scheduler._step()
    assert runs(client) == before
    client.delete("redbeat::lock")
    run(scheduler)
    assert runs(client) == EACH


def test_an_edit_between_a_claim_ahead_and_its_commit_wins(
    scheduler: RedBeatScheduler, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edit(ahead: ScriptPipeline) -> None:
        for number in range(COUNT):
            if client.zscore("redbeat::schedule", f"redbeat:e{number}") == score(number):
                due_entry(scheduler.app, f"e{number}", args=["new"])

    scores = [client.zscore("redbeat::schedule", f"redbeat:e{n}") for n in range(COUNT)]

    def score(number: int) -> float | None:
        return scores[number]

    at_question(monkeypatch, 2, "commit", edit)
    run(scheduler)
    # A run by the old content is there only where it was enqueued before the edit.
    texts = [message["headers"]["argsrepr"] for message in queued(client)]
    assert len(texts) == COUNT
    assert sum("new" in text for text in texts) >= COUNT - 30


def test_a_row_of_batches_ends_by_itself(
    scheduler: RedBeatScheduler, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redbeat_core.dispatch.runner.PIPELINE_SECONDS", 0.0)
    assert scheduler._step() == 0
    assert 0 < len(queued(client)) < COUNT
    run(scheduler)
    assert runs(client) == EACH
    assert batch_work.PIPELINE_SECONDS < 0.5


def test_a_beat_that_is_told_to_end_hands_over_what_it_has_not_begun(
    scheduler: RedBeatScheduler, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redbeat_core.dispatch.runner.PIPELINE_SECONDS", 60.0)

    def tell(ahead: ScriptPipeline) -> None:
        scheduler._interrupts = (signal.SIGTERM,)

    at_question(monkeypatch, 2, "commit", tell)
    scheduler._step()
    # The second batch, and what was claimed already when that was committed.
    assert 0 < len(runs(client)) <= 30
    scheduler._interrupts = ()
    run(scheduler)
    assert runs(client) == EACH


def test_entries_that_cannot_run_are_in_nobodys_way(
    app: Celery, scheduler: RedBeatScheduler, client: redis.Redis
) -> None:
    for number in range(0, COUNT, 7):
        client.hset(f"redbeat:e{number}", "definition", "{oops")
    run(scheduler)
    bad = {f"e{number}" for number in range(0, COUNT, 7)}
    assert runs(client) == [name for name in EACH if name not in bad]
    assert {event.subject for event in log(app, events.ENTRY_INVALID)} == bad
