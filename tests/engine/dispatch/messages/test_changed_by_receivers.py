"""What others do to one message stays in that message: receivers, and entries of an app's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Self

import pytest
import redis
from celery import Celery, signals

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry
from redbeat_core.entries.record import EntryRecord
from tests.support.server import Server
from tests.support.shop import make_app
from tests.support.stepping import due_entry, queued, run

Make = Callable[..., RedBeatScheduler]


@contextmanager
def received(signal: Any, receiver: Callable[..., None]) -> Iterator[None]:
    signal.connect(receiver, weak=False)
    try:
        yield
    finally:
        signal.disconnect(receiver)


class Tenant(RedBeatSchedulerEntry):
    """Each message says whose it is, as the entry's name does."""

    @classmethod
    def from_record(cls, record: EntryRecord, app: Celery | None = None) -> Self:
        entry = super().from_record(record, app)
        entry.options = {**entry.options, "headers": {"tenant": entry.name.partition(".")[0]}}
        return entry


class TenantScheduler(RedBeatScheduler):
    """A scheduler of such entries."""

    Entry = Tenant


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("receivers", [False, True])
def test_an_entry_of_the_apps_own_makes_each_message(
    elsewhere: bool,
    receivers: bool,
    url: str,
    app: Celery,
    client: redis.Redis,
    new_server: Callable[[], Server],
) -> None:
    broker = new_server() if elsewhere else None
    scheduler = TenantScheduler(make_app(url, {"broker_url": broker.url()} if broker else {}))
    seen: list[str] = []

    def receiver(**message: Any) -> None:
        seen.append(message["headers"]["tenant"])

    names = ["acme.1", "acme.2", "acme.3", "beta.1", "beta.2"]
    try:
        with received(signals.before_task_publish, receiver if receivers else _ignore):
            for name in names:
                due_entry(app, name)
                run(scheduler)
    finally:
        scheduler.close()
    messages = queued(broker.client() if broker else client)
    told = {one["headers"]["redbeat"]["entry"]: one["headers"]["tenant"] for one in messages}
    assert told == {name: name.partition(".")[0] for name in names}
    assert len(seen) == (len(names) if receivers else 0)


def _ignore(**_message: Any) -> None:
    pass


def test_who_hears_that_a_task_was_sent_hears_it_of_each(
    make_scheduler: Make, app: Celery, client: redis.Redis
) -> None:
    scheduler, heard = make_scheduler(), []

    def receiver(**message: Any) -> None:
        heard.append(message["task_id"])

    with received(signals.task_sent, receiver):
        for _ in range(6):
            due_entry(app)
            run(scheduler)
    assert sorted(heard) == sorted(one["headers"]["id"] for one in queued(client))
    assert len(heard) == 6


@pytest.mark.parametrize("of", ["args", "kwargs", "headers"])
def test_what_a_receiver_changes_within_a_message_is_in_no_other(
    of: str, make_scheduler: Make, app: Celery
) -> None:
    scheduler, seen = make_scheduler(), []

    def receiver(body: Any, headers: dict[str, Any], **_: Any) -> None:
        part = {"args": body[0][0], "kwargs": body[1]["part"], "headers": headers["part"]}[of]
        seen.append({**part})
        part["changed"] = True
        part["list"].append(headers["redbeat"]["entry"])

    with received(signals.before_task_publish, receiver):
        for number in range(8):
            part: dict[str, list[str]] = {"list": []}
            due_entry(
                app,
                f"entry {number % 2}",
                args=[part],
                kwargs={"part": part},
                options={"headers": {"part": part}},
            )
            run(scheduler)
    # The list, too, is looked at after it was changed: each has one of its own.
    assert seen == [{"list": [f"entry {number % 2}"]} for number in range(8)]


def test_a_task_that_works_out_its_options_is_asked_for_each_message(
    make_scheduler: Make, app: Celery, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler, limits = make_scheduler(), count(1)
    task = scheduler.app.tasks["shop.record"]
    monkeypatch.setattr(task, "_get_exec_options", lambda: {"time_limit": next(limits)})
    for _ in range(6):
        due_entry(app)
        run(scheduler)
    told = [message["headers"]["timelimit"][0] for message in queued(client)]
    assert len(set(told)) == 6
