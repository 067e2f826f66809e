"""What code that the scheduler calls may raise, and signals: no run is lost or doubled by it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from celery import Celery, Task, signals
from kombu import serialization

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.dispatch import retry_backoff
from tests.support.ledger import Ledger
from tests.support.server import Server
from tests.support.shop import make_app
from tests.support.stepping import due_entry, log, queued
from tests.support.waiting import wait_for

Make = Callable[..., RedBeatScheduler]
NAMES = ("bread", "eggs", "milk", "salt", "tea")
HOURLY = dict.fromkeys(NAMES, 3600.0)
#: What code may raise; the last ones are not even an Exception.
RAISED: dict[str, type[BaseException]] = {
    kind.__name__: kind
    for kind in (
        ValueError,
        OSError,
        redis.ConnectionError,
        MemoryError,
        RecursionError,
        KeyboardInterrupt,
        SystemExit,
        GeneratorExit,
    )
}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RETRY_FIRST", "RETRY_MOST", "BROKER_MOST"):
        monkeypatch.setattr(retry_backoff, name, 0.02)


class Once:
    """Raises when it is called for the first time in the middle of a batch."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        self.calls += 1
        if self.calls == 3:
            raise self.kind("in the middle of a batch")


def from_a_task(app: Celery, trap: Once) -> Callable[[], object]:
    class Trapped(Task):  # type: ignore[misc, unused-ignore]
        name = "shop.record"

        def apply_async(self, *args: Any, **options: Any) -> Any:
            trap()
            return super().apply_async(*args, **options)

    app.tasks.pop("shop.record")
    app.register_task(Trapped())
    return lambda: None


def from_a_receiver(signal_: Any) -> Callable[[Celery, Once], Callable[[], object]]:
    def trapped(app: Celery, trap: Once) -> Callable[[], object]:
        signal_.connect(trap, weak=False)
        return lambda: signal_.disconnect(trap)

    return trapped


def from_a_serializer(app: Celery, trap: Once) -> Callable[[], object]:
    def dumps(data: Any) -> str:
        trap()
        return str(data)

    register: Any = serialization.register
    register("trapped", dumps, str, "application/x-trapped")
    app.conf.task_serializer = "trapped"
    return lambda: serialization.unregister("trapped")  # type: ignore[no-untyped-call]


def from_a_router(app: Celery, trap: Once) -> Callable[[], object]:
    def route(name: str, *args: Any, **kwargs: Any) -> None:
        trap()

    app.conf.task_routes = (route,)
    return lambda: None


def from_the_entrys_class(app: Celery, trap: Once) -> Callable[[], object]:
    real = RedBeatScheduler.Entry

    class Trapped(RedBeatSchedulerEntry):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            trap()
            super().__init__(*args, **kwargs)

    RedBeatScheduler.Entry = Trapped

    def undo() -> None:
        RedBeatScheduler.Entry = real

    return undo


SOURCES: dict[str, Callable[[Celery, Once], Callable[[], object]]] = {
    "a task's apply_async": from_a_task,
    "a receiver before": from_a_receiver(signals.before_task_publish),
    "a receiver after": from_a_receiver(signals.after_task_publish),
    "a serializer": from_a_serializer,
    "a router": from_a_router,
    "the entry's class": from_the_entrys_class,
}


def tick_until_done(scheduler: RedBeatScheduler, done: Callable[[], object]) -> None:
    """Steps without waiting, until *done* or what is raised ends the beat."""

    def step() -> object:
        scheduler._step()
        return done()

    wait_for(step, every=0.01)


@pytest.mark.parametrize("kind", RAISED)
@pytest.mark.parametrize("source", SOURCES)
def test_what_code_raises_within_a_batch_loses_and_doubles_nothing(
    app: Celery, client: redis.Redis, make_scheduler: Make, source: str, kind: str
) -> None:
    for name in NAMES:
        due_entry(app, name)
    ledger = Ledger(client, HOURLY)
    scheduler = make_scheduler()
    trap = Once(RAISED[kind])
    undo = SOURCES[source](scheduler.app, trap)

    def done() -> bool:
        return client.llen("shop") >= len(NAMES)

    try:
        # What is no Exception may end the beat.
        with suppress(KeyboardInterrupt, SystemExit, GeneratorExit):
            tick_until_done(scheduler, done)
        scheduler.close()
        tick_until_done(make_scheduler(), done)
    finally:
        undo()
    assert trap.calls >= 3
    ledger.check()
    # It was no fault of theirs, and they are not left out.
    assert log(app, events.ENTRY_INVALID) == []


@pytest.fixture
def _sigterm_exits() -> Iterator[None]:
    def leave(_signum: int, _frame: object) -> None:
        raise SystemExit

    before = signal.signal(signal.SIGTERM, leave)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_sigterm_exits")
@pytest.mark.parametrize("broker", ["here", "elsewhere"])
def test_sigterm_within_a_batch_leaves_what_began_done_and_the_rest_to_the_next(
    app: Celery,
    client: redis.Redis,
    make_scheduler: Make,
    new_server: Callable[..., Server],
    broker: str,
) -> None:
    elsewhere = new_server().client() if broker == "elsewhere" else client
    port = elsewhere.connection_pool.connection_kwargs["port"]
    for name in NAMES:
        due_entry(app, name)
    ledger = Ledger(client, HOURLY, broker=elsewhere)
    scheduler = make_scheduler(broker_url=f"redis://127.0.0.1:{port}/0")

    def terminate(**_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    signals.before_task_publish.connect(terminate, weak=False)
    try:
        with pytest.raises(SystemExit):
            wait_for(lambda: scheduler.tick() and None)
    finally:
        signals.before_task_publish.disconnect(terminate)
    # What is out is committed, too.
    assert len(queued(elsewhere)) == len(log(app, events.RUN_DISPATCHED)) >= 1
    scheduler.close()
    second = make_scheduler(broker_url=f"redis://127.0.0.1:{port}/0")
    tick_until_done(second, lambda: elsewhere.llen("shop") >= len(NAMES))
    second._step()
    ledger.check()


@pytest.mark.parametrize("batch", [3, 500])
def test_three_beats_without_a_lock_at_once_enqueue_each_time_once(
    app: Celery, client: redis.Redis, url: str, batch: int
) -> None:
    every = {f"quick-{number}": 0.05 for number in range(8)}
    every |= {f"slow-{number}": 3600.0 for number in range(30)}
    for name, seconds in every.items():
        due_entry(app, name, seconds)
    ledger = Ledger(client, every)
    conf = {"redbeat_lock_key": None, "redbeat_batch_size": batch, "redbeat_catchup": "all"}
    beats = [RedBeatScheduler(make_app(url, conf)) for _ in range(3)]
    over = threading.Event()

    def work(beat: RedBeatScheduler) -> None:
        beat.max_interval = 0.02
        while not over.is_set():
            beat.tick()

    threads = [threading.Thread(target=work, args=(beat,)) for beat in beats]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: client.llen("shop") >= 200, 60)
    finally:
        over.set()
        for thread in threads:
            thread.join(20)
        for beat in beats:
            beat.close()
    ledger.check()
    # All of them worked: it was not the one that was faster each time.
    sources = {event.source for event in log(app, events.RUN_DISPATCHED)}
    assert len(sources) > 1
    assert time.time() > max(nominal for _, nominal in ledger.runs())
