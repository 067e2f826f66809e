"""Tests RabbitMQ: confirmed messages are committed, others are reported and retried."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import Celery
from kombu.common import Broadcast

from redbeat_core import RedBeatScheduler, events
from redbeat_core.operations import Operations
from redbeat_core.storage.schedule_store import store_for
from tests.support.rabbit import Rabbit
from tests.support.rabbit_steps import failures, frozen, ids_by_entry, later, runs_of
from tests.support.stepping import due_entry, log, run
from tests.support.waiting import wait_for

Steps = Callable[..., RedBeatScheduler]


def test_what_the_broker_confirmed_is_counted(
    app: Celery, make_on_rabbit: Steps, rabbit: Rabbit, queue: str
) -> None:
    entries = [due_entry(app, f"e{n}", args=[n]) for n in range(30)]
    scheduler = make_on_rabbit()
    run(scheduler)
    assert scheduler.publisher.mode == "at-least-once"
    assert scheduler.publisher.reason == "the broker is no Redis (amqp)"
    told = {event.subject: event.data for event in log(app, events.RUN_DISPATCHED)}
    messages = {message["redbeat"]["entry"]: message for message in rabbit.take(queue)}
    assert set(messages) == set(told) == {entry.name for entry in entries}
    for name, message in messages.items():
        assert message["id"] == told[name]["task_id"]
        assert message["redbeat"]["nominal"] == told[name]["nominal"]
        assert f"e{message['args'][0]}" == name
    assert {runs_of(app, entry.name) for entry in entries} == {1}


def test_a_message_that_no_queue_gets_counts_as_failed_until_one_does(
    app: Celery, make_on_rabbit: Steps, rabbit: Rabbit, queue: str
) -> None:
    due_entry(app, "lost", options={"exchange": "amq.topic", "routing_key": queue})
    due_entry(app, "plain")
    scheduler = make_on_rabbit()
    run(scheduler)
    assert "no queue gets the message" in failures(app)["lost"]
    assert [message["redbeat"]["entry"] for message in rabbit.take(queue)] == ["plain"]
    assert runs_of(app, "lost") == 0
    with rabbit.connect() as connection:
        connection.channel().queue_bind(queue, "amq.topic", queue)
    later(scheduler)
    run(scheduler)
    assert [message["redbeat"]["entry"] for message in rabbit.take(queue)] == ["lost"]
    assert runs_of(app, "lost") == 1


def test_a_broadcast_that_nobody_listens_to_is_no_failure(
    app: Celery, make_on_rabbit: Steps, rabbit: Rabbit, queue: str
) -> None:
    # As with Celery: a worker that does not run does not get it later.
    everybody = f"{queue}-everybody"
    due_entry(app, "all", options={"queue": everybody})
    broadcast: Any = Broadcast
    scheduler = make_on_rabbit(task_queues=[broadcast(everybody)])
    with rabbit.connect() as connection:
        connection.channel().exchange_declare(everybody, "fanout", auto_delete=False)
    run(scheduler)
    assert failures(app) == {}
    assert runs_of(app, "all") == 1


def test_a_queue_that_is_deleted_while_beat_runs_is_made_again(
    app: Celery, make_on_rabbit: Steps, rabbit: Rabbit, queue: str
) -> None:
    due_entry(app, "first")
    scheduler = make_on_rabbit()
    run(scheduler)
    rabbit.delete(queue)
    due_entry(app, "second")
    run(scheduler)
    assert "no queue gets the message" in failures(app)["second"]
    later(scheduler)
    run(scheduler)
    assert [message["redbeat"]["entry"] for message in rabbit.take(queue)] == ["second"]


def test_a_full_queue_that_refuses_delays_its_own_entries_only(
    app: Celery, make_on_rabbit: Steps, rabbit: Rabbit, queue: str
) -> None:
    full = f"{queue}-full"
    limits = {"x-max-length": 1, "x-overflow": "reject-publish"}
    rabbit.declare(full, **limits)
    scheduler = make_on_rabbit()
    for name in ("a", "b"):
        due_entry(app, name, options={"exchange": "amq.direct", "routing_key": full})
    due_entry(app, "plain")
    with rabbit.connect() as connection:
        connection.channel().queue_bind(full, "amq.direct", full)
    run(scheduler)
    (held,) = rabbit.take(full)
    (refused,) = failures(app)
    assert {held["redbeat"]["entry"], refused} == {"a", "b"}
    assert "refused" in failures(app)[refused]
    assert [message["redbeat"]["entry"] for message in rabbit.take(queue)] == ["plain"]
    later(scheduler)
    run(scheduler)
    assert [message["redbeat"]["entry"] for message in rabbit.take(full)] == [refused]
    assert {runs_of(app, name) for name in ("a", "b", "plain")} == {1}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"queue": "{queue}-other"}, "inequivalent arg"),
        ({"exchange": "{queue}-none", "routing_key": "x"}, "no exchange"),
    ],
    ids=["a queue that was made otherwise", "an exchange that is not there"],
)
def test_what_the_broker_finds_wrong_with_one_entry_harms_no_other(
    options: dict[str, str],
    reason: str,
    app: Celery,
    make_on_rabbit: Steps,
    rabbit: Rabbit,
    queue: str,
) -> None:
    rabbit.declare(f"{queue}-other", **{"x-max-priority": 3})
    names = [f"e{n}" for n in range(9)]
    for name in names:
        wrong = {key: text.format(queue=queue) for key, text in options.items()}
        due_entry(app, name, options=wrong if name == "e4" else {})
    scheduler = make_on_rabbit()
    run(scheduler)
    assert set(failures(app)) == {"e4"}
    assert reason in failures(app)["e4"]
    later(scheduler)
    run(scheduler)
    assert len(log(app, events.RUN_FAILED)) == 2
    messages = [message["redbeat"]["entry"] for message in rabbit.take(queue)]
    assert sorted(messages) == [name for name in names if name != "e4"]


def test_a_broker_that_blocks_publishers_is_waited_for(
    app: Celery, make_on_rabbit: Steps, rabbit: Rabbit, queue: str
) -> None:
    due_entry(app, "before")
    scheduler = make_on_rabbit()
    run(scheduler)
    rabbit.alarm(True)
    try:
        names = [f"e{n}" for n in range(50)]
        for name in names:
            due_entry(app, name)
        run(scheduler)
        assert set(failures(app)) == set(names)
        assert "short of memory or disk" in failures(app)["e0"]
        connection = scheduler.publisher._connection
        for _ in range(3):
            later(scheduler)
            run(scheduler)
        # The connection is kept: its messages arrive once, not once per attempt.
        assert scheduler.publisher._connection is connection
        assert len(log(app, events.RUN_FAILED)) == len(names)
    finally:
        rabbit.alarm(False)

    def made() -> bool:
        later(scheduler)
        run(scheduler)
        return len(log(app, events.RUN_DISPATCHED)) == 1 + len(names)

    wait_for(made, what="the runs after the alarm")
    took = rabbit.take(queue)
    ids = ids_by_entry(took)
    assert set(ids) == {"before", *names}
    assert {len(found) for found in ids.values()} == {1}
    assert len(took) <= 1 + 2 * len(names)


def test_each_run_that_waits_for_the_broker_is_told_once_and_made_once(
    app: Celery, make_on_rabbit: Steps, rabbit: Rabbit, queue: str
) -> None:
    scheduler = make_on_rabbit(redbeat_batch_size=10)
    due_entry(app, "before")
    run(scheduler)
    names = [f"e{n:02}" for n in range(25)]
    for name in names:
        due_entry(app, name)
    trigger = Operations(store_for(app), app=app, actor="me@here").trigger("before")
    rabbit.refuse()
    for _ in range(3):
        later(scheduler)
        run(scheduler)
    told = log(app, events.RUN_FAILED)
    assert sorted(event.subject for event in told) == ["before", *names]
    assert [event.data["trigger"] for event in told if event.subject == "before"] == [trigger]
    assert all("cannot be reached" in event.data["reason"] for event in told)
    due = {event.subject: event.data["nominal"] for event in told}
    rabbit.admit()
    later(scheduler)
    run(scheduler)
    made = {event.subject: event.data for event in log(app, events.RUN_DISPATCHED)[1:]}
    assert {name: made[name]["nominal"] for name in names} == {name: due[name] for name in names}
    assert len(log(app, events.RUN_DISPATCHED)) == 2 + len(names)
    messages = rabbit.take(queue)
    assert sorted(message["redbeat"]["entry"] for message in messages) == sorted(
        ["before", "before", *names]
    )
    # Another outage is reported again.
    rabbit.refuse()
    due_entry(app, "again")
    run(scheduler)
    assert "again" in failures(app)


def test_a_run_that_waits_longer_than_its_grace_is_missed_also_while_the_broker_is_down(
    app: Celery, make_on_rabbit: Steps, rabbit: Rabbit, queue: str
) -> None:
    scheduler = make_on_rabbit()
    due_entry(app, "late")
    due_entry(app, "patient")
    store_for(app).change("late", [("set", "policy", json.dumps({"grace": 30}))])
    rabbit.refuse()
    run(scheduler)
    assert set(failures(app)) == {"late", "patient"}
    store_for(app).change("late", [("set", "policy", json.dumps({"grace": 0.2}))])

    def missed() -> list[events.Event]:
        later(scheduler)
        run(scheduler)
        return log(app, events.RUN_MISSED)

    wait_for(missed, what="the end of the grace")
    (told,) = log(app, events.RUN_MISSED)
    nominal = log(app, events.RUN_FAILED)[0].data["nominal"]
    assert (told.subject, told.data["count"], told.data["nominal"]) == ("late", 1, nominal)
    assert "0.2 s" in told.data["reason"]
    rabbit.admit()
    later(scheduler)
    run(scheduler)
    assert [message["redbeat"]["entry"] for message in rabbit.take(queue)] == ["patient"]


def test_an_interval_keeps_its_nominal_times_over_an_outage(
    app: Celery, make_on_rabbit: Steps, rabbit: Rabbit, queue: str
) -> None:
    scheduler = make_on_rabbit()
    started = datetime.now(UTC)
    due_entry(app, "often", every=0.5, last_run_at=started)
    due = store_for(app).scores()["often"]
    wait_for(lambda: due <= time.time())
    rabbit.refuse()
    run(scheduler)
    wait_for(lambda: due + 0.5 <= time.time(), what="another nominal time")
    rabbit.admit()
    later(scheduler)
    run(scheduler)
    made = [event.data["nominal"] for event in log(app, events.RUN_DISPATCHED)]
    missed = sum(event.data["count"] for event in log(app, events.RUN_MISSED))
    assert made
    assert missed
    following = store_for(app).scores()["often"]
    steps = [(at - started.timestamp()) / 0.5 for at in [*made, following]]
    assert [round(step) for step in steps] == [pytest.approx(step, abs=0.01) for step in steps]
    assert round(steps[-1]) == 1 + len(made) + missed


def test_a_connection_that_broke_while_idle_fails_no_run(
    app: Celery, make_on_rabbit: Steps, rabbit: Rabbit, queue: str
) -> None:
    due_entry(app, "before")
    scheduler = make_on_rabbit()
    run(scheduler)
    rabbit.kill()
    rabbit.start()
    due_entry(app, "after")
    run(scheduler)
    assert failures(app) == {}
    assert [message["redbeat"]["entry"] for message in rabbit.take(queue)] == ["before", "after"]


def test_messages_under_way_on_a_connection_that_breaks_at_the_next_one_are_sent_again(
    app: Celery, make_on_rabbit: Steps, rabbit: Rabbit, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    due_entry(app, "before")
    scheduler = make_on_rabbit()
    run(scheduler)
    channel = scheduler.publisher._producer.channel
    send = channel._basic_publish
    under_way: list[int] = []

    def break_at_the_fifth(*args: Any, **kwargs: Any) -> Any:
        under_way.append(len(channel._open))
        if len(under_way) == 5:
            channel.connection.transport.sock.shutdown(socket.SHUT_RDWR)
        return send(*args, **kwargs)

    monkeypatch.setattr(channel, "_basic_publish", break_at_the_fifth)
    names = {f"e{number}" for number in range(8)}
    for name in names:
        due_entry(app, name)
    # Then it confirms none of the messages in time.
    rabbit.freeze()
    try:
        scheduler._step()
    finally:
        rabbit.thaw()
    assert under_way == [0, 1, 2, 3, 4]
    assert failures(app).keys() == names
    assert [event.subject for event in log(app, events.RUN_DISPATCHED)] == ["before"]
    later(scheduler)
    run(scheduler)
    ids = ids_by_entry(rabbit.take(queue))
    assert {name: len(found) for name, found in ids.items()} == dict.fromkeys([*names, "before"], 1)


def test_at_most_once_loses_what_a_broker_that_goes_down_did_not_take_and_says_so(
    app: Celery, make_on_rabbit: Steps, rabbit: Rabbit, queue: str
) -> None:
    due_entry(app, "before")
    scheduler = make_on_rabbit(redbeat_delivery="at-most-once")
    run(scheduler)
    with frozen(rabbit, scheduler):
        due_entry(app, "lost")
        run(scheduler)
        assert "at-most-once: it is not repeated" in failures(app)["lost"]
        assert runs_of(app, "lost") == 1
        # While the broker counts as down, no further message is lost.
        due_entry(app, "kept")
        later(scheduler)
        run(scheduler)
        assert runs_of(app, "kept") == 0
    later(scheduler)
    run(scheduler)
    assert runs_of(app, "kept") == 1
