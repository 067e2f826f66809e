"""Tests killed beats on RabbitMQ: no run is lost, and a repeated one has the same task id."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatSchedulerEntry
from redbeat_core.operations import Operations
from redbeat_core.storage.schedule_store import store_for
from tests.support.faulty import UNSENT, FaultProxy
from tests.support.journal import Journal, pid_of
from tests.support.ledger import Ledger
from tests.support.processes import Process, Processes
from tests.support.rabbit import Rabbit
from tests.support.server import Server
from tests.support.shop import ran
from tests.support.stepping import due_entry
from tests.support.waiting import wait_for


@pytest.fixture
def journal(client: redis.Redis) -> Journal:
    return Journal(client)


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    proxy = FaultProxy(server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def conf(rabbit: Rabbit, queue: str) -> dict[str, Any]:
    return {
        "broker_url": rabbit.url(),
        "task_default_queue": queue,
        "redbeat_lock_timeout": 1,
        "redbeat_log_length": 100_000,
    }


@pytest.mark.parametrize("asked_for", [False, True], ids=["scheduled", "on request"])
def test_a_beat_killed_between_publish_and_commit_gives_the_same_task_again(
    asked_for: bool,
    app: Celery,
    client: redis.Redis,
    proxy: FaultProxy,
    rabbit: Rabbit,
    queue: str,
    conf: dict[str, Any],
    journal: Journal,
    processes: Processes,
) -> None:
    if asked_for:
        RedBeatSchedulerEntry("orders", "shop.record", 365 * 86400, app=app).save()
    first = processes.beat("first", url=proxy.url(), conf=conf)
    first.wait_for_log(r"Delivery is at-least-once: the broker is no Redis \(amqp\)")
    commit = proxy.inject("commit", UNSENT, before=lambda: os.kill(first.pid, signal.SIGKILL))
    if asked_for:
        Operations(store_for(app), app=app, actor="me@here").trigger("orders")
    else:
        due_entry(app, "orders")
    assert first.wait() == -signal.SIGKILL
    assert commit.happened.is_set()
    # The message is published, and its confirmation is lost.
    assert journal.dispatched() == []
    second = processes.beat("second", conf=conf)
    told = journal.wait_for_runs("orders")
    assert second.terminate() == 0
    assert len(journal.dispatched()) == 1
    processes.worker(conf=conf)
    wait_for(lambda: len(ran(client)) >= 2, what="both executions")
    one, other = ran(client)
    assert one.id == other.id == told.data["task_id"]
    assert one.headers["redbeat"] == other.headers["redbeat"]


class RabbitLedger(Ledger):
    """The same records, with the messages in RabbitMQ."""

    def __init__(self, client: redis.Redis, every: dict[str, float]) -> None:
        super().__init__(client, every)
        self.messages: list[dict[str, Any]] = []

    def runs(self) -> Counter[tuple[str, float]]:
        headers = (message["redbeat"] for message in self.messages)
        return Counter((header["entry"], header["nominal"]) for header in headers)


def test_beats_and_brokers_killed_at_random_lose_nothing(
    app: Celery,
    client: redis.Redis,
    rabbit: Rabbit,
    queue: str,
    conf: dict[str, Any],
    journal: Journal,
    processes: Processes,
) -> None:
    kills = int(os.environ.get("REDBEAT_KILLS", "6"))
    every = {f"e{n}": 0.1 for n in range(50)}
    for name, seconds in every.items():
        RedBeatSchedulerEntry(name, "shop.record", seconds, app=app).save()
    ledger = RabbitLedger(client, every)
    beats: dict[int, Process] = {}

    def beat() -> None:
        one = processes.beat(f"beat-{len(processes.started)}", conf=conf, loglevel="warning")
        beats[one.pid] = one

    beat()
    beat()
    seen = 0
    for number in range(kills):
        leader = pid_of(journal.wait_for_runs("e0", count=3, after=seen))
        time.sleep(random.uniform(0, 0.3))
        if number == kills // 2:
            # RabbitMQ confirms a message only after it has written it to disk.
            rabbit.kill()
            rabbit.start()
        else:
            beats.pop(leader).kill()
            beat()
        seen = journal.seq
    journal.wait_for_runs("e0", count=3, after=seen)
    for one in beats.values():
        # A beat that has just started ends by the signal itself.
        assert one.terminate() in (0, -signal.SIGTERM)
    ledger.messages = rabbit.take(queue)
    ledger.check(twice=True)
    ids: dict[tuple[str, float], set[str]] = {}
    for message in ledger.messages:
        header = message["redbeat"]
        ids.setdefault((header["entry"], header["nominal"]), set()).add(message["id"])
    assert {len(found) for found in ids.values()} == {1}
    twice = sum(times - 1 for times in ledger.runs().values())
    print(f"{kills} kills: {len(ids)} runs, none lost, {twice} messages twice")
