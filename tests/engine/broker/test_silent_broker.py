"""Tests a broker that accepts connections and never answers: it delays nothing else for long."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType

import pytest
from celery import Celery

from redbeat_core import RedBeatScheduler, events
from redbeat_core.broker import publisher, redis_publish
from tests.support.server import Server
from tests.support.stepping import due_entry, log, run
from tests.support.waiting import wait_for

Make = Callable[..., RedBeatScheduler]


class SilentBroker:
    """A server that accepts connections and never answers.

    :ivar taken: the accepted connections.
    """

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.taken: list[socket.socket] = []
        self.on_connection: Callable[[], None] = lambda: None
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                self.taken.append(self._socket.accept()[0])
                self.on_connection()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for one in self.taken:
            one.close()


@pytest.fixture
def silent() -> Iterator[SilentBroker]:
    broker = SilentBroker()
    yield broker
    broker.close()


@pytest.mark.parametrize("kind", ["redis", "amqp"])
def test_a_silent_broker_is_waited_for_once_a_step(
    kind: str,
    app: Celery,
    make_scheduler: Make,
    silent: SilentBroker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher, "CONFIRM_TIMEOUT", 0.5)
    scheduler = make_scheduler(
        broker_url=f"{kind}://127.0.0.1:{silent.port}//", broker_connection_timeout=0.5
    )
    due_entry(app)
    run(scheduler)
    assert len(log(app, events.RUN_FAILED)) == 1
    assert len(silent.taken) == 1
    for attempts in (2, 3):
        scheduler.batch.backoff.broker_until = 0.0
        run(scheduler)
        assert len(silent.taken) == attempts


def test_a_beat_that_waits_for_a_silent_broker_ends_when_it_is_told_to(
    app: Celery, make_scheduler: Make, silent: SilentBroker, server: Server
) -> None:
    # Far longer than the time limit of this test.
    monkey = pytest.MonkeyPatch()
    monkey.setattr(publisher, "CONFIRM_TIMEOUT", 600.0)
    scheduler = make_scheduler(broker_url=f"redis://127.0.0.1:{silent.port}/0")
    due_entry(app)

    def leave(_signum: int, _frame: FrameType | None) -> None:
        scheduler.close()
        raise SystemExit

    silent.on_connection = lambda: os.kill(os.getpid(), signal.SIGTERM)
    before = signal.signal(signal.SIGTERM, leave)
    try:
        with pytest.raises(SystemExit):
            scheduler.tick()
    finally:
        signal.signal(signal.SIGTERM, before)
        monkey.undo()
    with server.client() as client:
        wait_for(lambda: client.get("redbeat::lock") is None, what="the end of the lease")


def test_a_broker_that_falls_silent_is_asked_once_a_step(
    app: Celery,
    make_scheduler: Make,
    new_server: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher, "CONFIRM_TIMEOUT", 0.5)
    broker = new_server()
    scheduler = make_scheduler(broker_url=broker.url())
    due_entry(app, "before")
    run(scheduler)
    asked: list[str] = []
    real = redis_publish.ping_error

    def noted(channel: object) -> str:
        asked.append(real(channel))
        return asked[-1]

    monkeypatch.setattr(redis_publish, "ping_error", noted)
    opened: list[int] = []
    monkeypatch.setattr(scheduler.publisher, "_open", lambda: opened.append(1))
    broker.freeze()
    try:
        due_entry(app)
        run(scheduler)
    finally:
        broker.thaw()
    assert asked == [redis_publish.SILENT]
    assert opened == []
