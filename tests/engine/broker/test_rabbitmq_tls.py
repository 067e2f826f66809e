"""Tests RabbitMQ over TLS: the same results, and no longer waits if it does not answer."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator

import pytest
from celery import Celery

from redbeat_core import RedBeatScheduler, events
from redbeat_core.broker import rabbitmq
from tests.support.rabbit import Rabbit
from tests.support.stepping import due_entry, log, run

Make = Callable[..., RedBeatScheduler]


@pytest.fixture
def secure() -> Iterator[Rabbit]:
    node = Rabbit(tls=True)
    try:
        yield node.start()
    finally:
        node.close()


def test_messages_are_confirmed_over_tls_and_a_frozen_broker_is_waited_for_once(
    app: Celery, secure: Rabbit, make_scheduler: Make, queue: str
) -> None:
    scheduler = make_scheduler(
        broker_url=secure.tls_url(),
        broker_use_ssl={"ca_certs": str(secure.certificate), "cert_reqs": ssl.CERT_REQUIRED},
        task_default_queue=queue,
        # Longer than the expected waits: nothing may wait for the TLS shutdown handshake.
        broker_connection_timeout=20,
    )
    for number in range(50):
        due_entry(app, f"entry {number}")
    run(scheduler)
    assert len(log(app, events.RUN_DISPATCHED)) == 50
    secure.freeze()
    try:
        due_entry(app)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rabbitmq, "CONFIRM_TIMEOUT", 1.0)
            started = time.monotonic()
            run(scheduler)
            # As long as without TLS; the timeout of the handshake alone would be 20 s.
            assert time.monotonic() - started < 5
            (failed,) = log(app, events.RUN_FAILED)
            assert "did not answer" in failed.data["reason"]
            # The kernel accepts a new connection, whose TLS handshake never begins.
            scheduler.app.conf.broker_connection_timeout = 1.0
            scheduler.batch.backoff.broker_until = 0.0
            run(scheduler)
            assert time.monotonic() - started < 10
    finally:
        secure.thaw()
    scheduler.batch.backoff.clear()
    scheduler.batch.backoff.broker_until = 0.0
    run(scheduler)
    sent = {message["redbeat"]["entry"] for message in secure.take(queue)}
    assert sent == {"orders", *(f"entry {number}" for number in range(50))}


def test_a_broker_whose_certificate_is_not_known_is_not_used(
    app: Celery, secure: Rabbit, make_scheduler: Make, queue: str
) -> None:
    scheduler = make_scheduler(
        broker_url=secure.tls_url(),
        broker_use_ssl={"cert_reqs": ssl.CERT_REQUIRED},
        task_default_queue=queue,
    )
    due_entry(app)
    run(scheduler)
    (failed,) = log(app, events.RUN_FAILED)
    assert "certificate" in failed.data["reason"]
