"""A fault at any step costs no run and doubles none: the scheduler just goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from random import Random

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry
from redbeat_core.dispatch import failures
from redbeat_core.operations import Operations
from redbeat_core.storage.schedule_store import store_for
from tests.support.faulty import (
    CONNECTION_FAULTS,
    CUT,
    FLUSHED,
    LATE,
    MUTE,
    REFUSALS,
    UNHEARD,
    UNSENT,
    FaultProxy,
)
from tests.support.ledger import Ledger
from tests.support.server import Server
from tests.support.shop import make_app
from tests.support.stepping import due_entry, queued

EVERY = {f"slow-{number}": 3600.0 for number in range(6)} | {"quick-1": 0.05, "quick-2": 0.05}
STATIC = {"task": "shop.record", "schedule": 3600.0}
PATIENCE = {"socket_timeout": 0.3, "socket_connect_timeout": 5.0}
FAULTS = (*CONNECTION_FAULTS, FLUSHED, *REFUSALS)
#: Script or command, and the how many-th of its kind since the scheduler was made.
STEPS = {
    "lead": ("acquire", 1),
    "ask for the broker": ("INFO", 1),
    "ask for the schedule's server": ("INFO", 2),
    "read the statics": ("SMEMBERS", 1),
    "install the statics": ("change", 1),
    "note the statics": ("SADD", 1),
    "declare the queue": ("SADD", 2),
    "load a script": ("SCRIPT", 1),
    "first claim": ("claim", 1),
    "claim": ("claim", 4),
    "first commit": ("commit", 1),
    "commit": ("commit", 4),
    "look for forgotten entries": ("audit", 1),
    "renew the lease": ("renew", 1),
    "heartbeat": ("heartbeat", 2),
    "subscribe": ("SUBSCRIBE", 1),
}


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    proxy = FaultProxy(server.port)
    yield proxy
    proxy.close()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RETRY_FIRST", "RETRY_MOST", "BROKER_MOST"):
        monkeypatch.setattr(failures, name, 0.05)


def make(url: str, **conf: object) -> RedBeatScheduler:
    options: dict[str, object] = dict.fromkeys(
        ("redbeat_redis_options", "broker_transport_options"), PATIENCE
    )
    # There is always another batch to come.
    options |= {"redbeat_batch_size": 2, "redbeat_catchup": "all"}
    scheduler = RedBeatScheduler(
        make_app(url, {**options, "redbeat_lock_timeout": 1.0, "result_expires": None, **conf})
    )
    scheduler.max_interval = 0.05
    return scheduler


def drive(scheduler: RedBeatScheduler, done: Callable[[], object], timeout: float = 60.0) -> None:
    """Tick like celery's beat does, until *done*."""
    deadline = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < deadline, f"waited {timeout:g} s"
        scheduler.tick()


def go_on(scheduler: RedBeatScheduler, client: redis.Redis) -> None:
    """Tick until whatever is to be seen of the fault has been: some runs later."""
    enough = client.llen("shop") + 4
    drive(scheduler, lambda: client.llen("shop") >= enough)


@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("step", STEPS)
def test_a_fault_loses_and_doubles_nothing(
    app: Celery,
    client: redis.Redis,
    proxy: FaultProxy,
    step: str,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, every in EVERY.items():
        due_entry(app, name, every)
    ledger = Ledger(client, EVERY)
    trigger = Operations(store_for(app), app=app).trigger("slow-0")
    scheduler = make(proxy.url(), beat_schedule={"fixed": STATIC})
    command, nth = STEPS[step]
    if command == "renew":
        # Claims come so often here that the thread would find nothing to do.
        monkeypatch.setattr(scheduler.lease, "touched", lambda _started: None)
    fault = proxy.inject(command, how, nth=nth)
    try:
        drive(scheduler, fault.happened.is_set)
        go_on(scheduler, client)
        if how == LATE:
            # What was on its way all the time arrives now.
            proxy.deliver_late()
            go_on(scheduler, client)
        # It may have to wait for its next attempt.
        drive(scheduler, ledger.requests)
    finally:
        scheduler.close()
    assert scheduler.publisher.mode == "exactly-once"
    ledger.check()
    assert ledger.requests() == {trigger: 1}
    assert store_for(app).get("fixed") is not None
    assert store_for(app).statics() == {"fixed"}
    assert client.exists("redbeat::lock") == 0


def test_a_broker_that_cannot_be_asked_twice_does_not_cost_the_better_mode(
    app: Celery, client: redis.Redis, proxy: FaultProxy
) -> None:
    due_entry(app)
    scheduler = make(proxy.url())
    for _ in range(2):
        proxy.inject("INFO", UNSENT)
    drive(scheduler, lambda: queued(client))
    assert scheduler.publisher.mode == "exactly-once"
    scheduler.close()


@pytest.mark.parametrize("how", [*CONNECTION_FAULTS, *REFUSALS])
def test_a_fault_of_a_commit_sends_no_message_to_another_broker_twice(
    app: Celery,
    client: redis.Redis,
    proxy: FaultProxy,
    new_server: Callable[..., Server],
    how: str,
) -> None:
    broker = new_server()
    for name, every in EVERY.items():
        due_entry(app, name, every)
    with broker.client() as elsewhere:
        ledger = Ledger(client, EVERY, broker=elsewhere)
        scheduler = make(broker.url(), redbeat_redis_url=proxy.url())
        fault = proxy.inject("commit", how, nth=3)
        drive(scheduler, fault.happened.is_set)
        go_on(scheduler, elsewhere)
        proxy.deliver_late()
        go_on(scheduler, elsewhere)
        scheduler.close()
        assert scheduler.publisher.mode == "at-least-once"
        ledger.check()


@pytest.mark.parametrize("seed", range(4))
def test_a_storm_of_faults_loses_and_doubles_nothing(
    app: Celery, client: redis.Redis, proxy: FaultProxy, seed: int
) -> None:
    random = Random(seed)
    for name, every in EVERY.items():
        due_entry(app, name, every)
    ledger = Ledger(client, EVERY)
    operations = Operations(store_for(app), app=app)
    scheduler = make(proxy.url(), beat_schedule={"fixed": STATIC})
    commands = sorted({command for command, _ in STEPS.values()} | {"claim", "commit"})
    triggers = set()
    for _ in range(12):
        triggers.add(operations.trigger(random.choice(list(EVERY))))
        step = random.choice([*commands, "claim", "commit", "commit"])
        proxy.inject(step, random.choice(FAULTS), nth=random.randint(1, 4))
        go_on(scheduler, client)
        if random.random() < 0.3:
            proxy.cut_all()
        if random.random() < 0.3:
            proxy.deliver_late()
    proxy.deliver_late()
    drive(scheduler, lambda: ledger.requests().keys() == triggers)
    go_on(scheduler, client)
    scheduler.close()
    ledger.check()
    assert store_for(app).statics() == {"fixed"}


@pytest.mark.parametrize("how", CONNECTION_FAULTS)
def test_a_lease_that_cannot_be_given_back_ends_by_itself(
    app: Celery, client: redis.Redis, proxy: FaultProxy, how: str
) -> None:
    for name, every in EVERY.items():
        due_entry(app, name, every)
    ledger = Ledger(client, EVERY)
    scheduler = make(proxy.url())
    go_on(scheduler, client)
    fault = proxy.inject("release", how)
    scheduler.close()
    assert fault.happened.is_set()
    following = make(proxy.url())
    go_on(following, client)
    # A message to the one that is gone changes nothing for the one that leads.
    proxy.deliver_late()
    go_on(following, client)
    assert client.get("redbeat::lock") == following.lease.token
    following.close()
    ledger.check()


@pytest.mark.parametrize("how", [*CONNECTION_FAULTS, "busy", "loading"])
@pytest.mark.parametrize("command", ["HELLO", "PING", "INFO", "CONFIG"])
def test_a_fault_while_the_scheduler_is_made_does_not_end_it(
    app: Celery, client: redis.Redis, proxy: FaultProxy, command: str, how: str
) -> None:
    due_entry(app)
    proxy.inject(command, how)
    scheduler = make(proxy.url())
    drive(scheduler, lambda: queued(client))
    scheduler.close()
    assert len(queued(client)) == 1


@pytest.mark.parametrize(
    ("how", "runs"), [("", 1), (UNSENT, 0), (UNHEARD, 1), (CUT, 1), (MUTE, 1), (LATE, 1)]
)
def test_a_request_whose_answer_is_lost_is_served_at_most_once(
    app: Celery, client: redis.Redis, proxy: FaultProxy, how: str, runs: int
) -> None:
    RedBeatSchedulerEntry("yearly", "shop.record", 31e6, app=app).save()
    far = make_app(proxy.url(), {"redbeat_redis_options": PATIENCE})
    operations = Operations(store_for(far), app=far)
    operations.store.get("yearly")
    proxy.inject("trigger", how)
    if how:
        with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
            operations.trigger("yearly")
    else:
        operations.trigger("yearly")
    proxy.deliver_late()
    scheduler = make(proxy.url())
    for _ in range(5):
        scheduler.tick()
    scheduler.close()
    far.close()
    assert len(queued(client)) == runs
