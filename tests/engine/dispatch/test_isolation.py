"""An error that nobody expects, in any step of a batch, is its entry's alone: it ends no beat, and
loses and doubles no run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.broker.publisher import Publisher
from redbeat_core.dispatch import batch, retry_backoff
from redbeat_core.dispatch.batch import Batch
from redbeat_core.dispatch.bulk import BulkDispatch
from redbeat_core.dispatch.entry_loader import EntryLoader
from redbeat_core.dispatch.messages.calls import CallCache
from redbeat_core.dispatch.messages.learned import TemplateCache
from redbeat_core.dispatch.messages.make import MessageSender
from redbeat_core.dispatch.retry_backoff import RetryBackoff
from redbeat_core.dispatch.triggers import TriggeredRuns
from redbeat_core.dispatch.uncommitted import UncommittedMessages
from redbeat_core.operations import Operations
from redbeat_core.storage import leader_store
from redbeat_core.storage.leader_store import DueEntry, LeaderStore
from redbeat_core.storage.schedule_store import store_for
from tests.support.server import Server
from tests.support.stepping import due_entry, log, queued
from tests.support.waiting import wait_for

Make = Callable[..., RedBeatScheduler]
#: Says whether a call is about the entry that raises.
About = Callable[..., bool]


class OddError(Exception):
    """What nothing in this project raises or expects."""


class Step:
    """A step of a batch that raises for one entry.

    :ivar owner: where the function is.
    :ivar about: with its arguments, whether it is about that entry.
    :ivar late: it comes behind the commit, so the run is made.
    """

    def __init__(self, owner: Any, name: str, about: About, *, late: bool = False) -> None:
        self.owner, self.name, self.about, self.late = owner, name, about, late

    def break_(self, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
        """Let it raise; returns how often it did."""
        calls: Counter[str] = Counter()
        real = getattr(self.owner, self.name)
        kept = vars(self.owner).get(self.name)

        def odd(*args: Any, **kwargs: Any) -> Any:
            if self.about(*args, **kwargs):
                calls["raised"] += 1
                raise OddError("out of the blue")
            return real(*args, **kwargs)

        made = staticmethod(odd) if isinstance(kept, staticmethod | classmethod) else odd
        monkeypatch.setattr(self.owner, self.name, made)
        return calls


def named(place: int) -> About:
    """The argument at *place* has the name of the entry."""
    return lambda *args, **_: getattr(args[place], "name", args[place]) == "bad"


def in_commit(*args: Any, **_: Any) -> bool:
    step = args[1]
    return step.due is not None and step.due.name == "bad" and step.commands != ()


STEPS: Mapping[str, Step] = {
    "decoding what was claimed": Step(
        DueEntry, "__init__", lambda _, name, loaded: name == "bad" and len(loaded) > 1
    ),
    "making its record": Step(leader_store, "loaded_record", named(0)),
    "making the entry": Step(RedBeatSchedulerEntry, "from_record", named(0)),
    "its policy": Step(EntryLoader, "policy_of", named(1)),
    "reading it at all": Step(EntryLoader, "load", named(1)),
    "the plan": Step(batch, "plan", named(0)),
    "its progress": Step(
        batch, "progress_text", lambda timing, _: timing.run_every.seconds == 7200
    ),
    "its run": Step(Batch, "_due_job", named(1)),
    "filling it": Step(BulkDispatch, "fill", named(1)),
    "its form": Step(BulkDispatch, "waits_for_form", named(1)),
    "what is out already": Step(UncommittedMessages, "known", named(1)),
    "sending": Step(MessageSender, "_send", named(1)),
    "its task id": Step(MessageSender, "task_id", named(1)),
    "what a message needs": Step(MessageSender, "_run", named(1)),
    "filling its message": Step(
        TemplateCache, "fill", lambda _, run: run.definition["name"] == "bad"
    ),
    "calling Celery's last step": Step(
        CallCache, "call", lambda _, run, __: run.definition["name"] == "bad"
    ),
    "learning from its call": Step(
        CallCache, "_learn", lambda _, run, *__: run.definition["name"] == "bad", late=True
    ),
    "learning from its message": Step(
        TemplateCache, "learn", lambda _, run, __: run.definition["name"] == "bad", late=True
    ),
    "asking the broker": Step(
        Publisher,
        "wait_for_confirms",
        lambda _, sent, **__: BAD_ID in [one.task_id for one in sent],
    ),
    "noting that it was sent": Step(RetryBackoff, "succeeded", named(1), late=True),
    "completing it": Step(BulkDispatch, "complete", named(1)),
    "finishing it": Step(batch, "finish", named(1)),
    "making its part of the commit": Step(LeaderStore, "_item", in_commit),
    "its event": Step(
        LeaderStore,
        "event",
        lambda _, kind, name, *__: f"{kind} {name}".endswith("run.dispatched bad"),
        late=True,
    ),
    "noting its commit": Step(UncommittedMessages, "ended", named(1), late=True),
}
BAD_ID = "the-bad-one"
GOOD = [f"good{number:02}" for number in range(30)]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RETRY_FIRST", "RETRY_MOST", "BROKER_MOST"):
        monkeypatch.setattr(retry_backoff, name, 0.05)


@pytest.fixture(params=["exactly-once", "at-least-once", "at-most-once"])
def delivery(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def broker(server: Server, redis_server: Server, delivery: str) -> Server:
    return redis_server if delivery == "at-least-once" else server


def runs(client: redis.Redis) -> Counter[str]:
    return Counter(message["headers"]["redbeat"]["entry"] for message in queued(client))


@pytest.mark.parametrize("size", [3, 500])
@pytest.mark.parametrize("step", STEPS)
def test_what_one_entry_raises_in_any_step_is_its_own(
    app: Celery,
    make_scheduler: Make,
    monkeypatch: pytest.MonkeyPatch,
    broker: Server,
    delivery: str,
    step: str,
    size: int,
) -> None:
    if (step, delivery) == ("asking the broker", "at-most-once"):
        pytest.skip("behind the commit, where all that was to be sent may be lost")
    queue = broker.client()
    conf = {"redbeat_delivery": delivery} if delivery == "at-most-once" else {}
    scheduler = make_scheduler(broker_url=broker.url(), redbeat_batch_size=size, **conf)
    scheduler.setup_schedule()
    for name in GOOD[:15]:
        due_entry(app, name)
    before = datetime.now(UTC) - timedelta(seconds=7200)
    due_entry(app, "bad", 7200.0, options={"task_id": BAD_ID}, last_run_at=before)
    for name in GOOD[15:]:
        due_entry(app, name)
    with monkeypatch.context() as broken:
        raised = STEPS[step].break_(broken)
        wait_for(lambda: scheduler._step() >= 0 and runs(queue).keys() >= set(GOOD), every=0)
        # And once more, if it is tried again.
        time.sleep(0.06)
        run_until_rest(scheduler)
    assert scheduler.dispatcher.mode == delivery
    told = log(app, events.RUN_FAILED, events.ENTRY_INVALID)
    assert {event.subject for event in told} <= {"bad"}
    if raised and not STEPS[step].late and "bad" not in runs(queue):
        assert told
        assert "out of the blue" in told[0].data["reason"]
    # As soon as it raises no more, the run is made.
    for name in scheduler.batch.loader.invalid.copy():
        del scheduler.batch.loader.invalid[name]
    wait_for(lambda: scheduler._step() >= 0 and was_dispatched(app), every=0)
    run_until_rest(scheduler)
    made = runs(queue)
    assert {name: made[name] for name in GOOD} == dict.fromkeys(GOOD, 1)
    # What is committed first may be lost.
    assert made["bad"] == 1 or delivery == "at-most-once"
    dispatched = Counter(event.subject for event in log(app, events.RUN_DISPATCHED))
    assert {name: dispatched[name] for name in (*GOOD, "bad")} == dict.fromkeys((*GOOD, "bad"), 1)
    queue.close()


def was_dispatched(app: Celery) -> bool:
    return any(event.subject == "bad" for event in log(app, events.RUN_DISPATCHED))


def run_until_rest(scheduler: RedBeatScheduler) -> None:
    wait_for(lambda: scheduler._step() > 0, every=0)


def test_an_error_in_the_code_of_the_commit_is_its_entrys_own(
    app: Celery, client: redis.Redis, make_scheduler: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = make_scheduler()
    for name in ("bread", "bad", "eggs"):
        due_entry(app, name)
    real = LeaderStore._item

    def odd(self: LeaderStore, step: Any) -> Any:
        item = real(self, step)
        if step.due is not None and step.due.name == "bad":
            item[3] = ["no text"]
        return item

    monkeypatch.setattr(LeaderStore, "_item", odd)
    monkeypatch.setattr(BulkDispatch, "complete", lambda *_: None)
    monkeypatch.setattr(BulkDispatch, "fill", lambda *_: None)
    wait_for(lambda: scheduler._step() >= 0 and len(runs(client)) == 2, every=0)
    assert runs(client) == {"bread": 1, "eggs": 1}
    (failed, *_) = log(app, events.RUN_FAILED)
    assert failed.subject == "bad"
    assert "user_script" in failed.data["reason"]


@pytest.mark.parametrize(
    "owner", [(TriggeredRuns, "_job"), (batch, "finish"), (LeaderStore, "_item")]
)
def test_what_a_request_raises_is_its_own(
    app: Celery,
    client: redis.Redis,
    make_scheduler: Make,
    monkeypatch: pytest.MonkeyPatch,
    owner: tuple[Any, str],
) -> None:
    scheduler = make_scheduler()
    for name in ("bread", "bad", "eggs"):
        due_entry(app, name, 3600.0).reschedule()
        Operations(store_for(app), app=app).trigger(name)
    due_entry(app, "milk")
    where, what = owner
    real = getattr(where, what)

    def odd(*args: Any) -> Any:
        for one in args:
            request = getattr(one, "request", None)
            subject = getattr(one, "name", "") or getattr(getattr(one, "seen", None), "name", "")
            if subject == "bad" and (request or what == "_job"):
                raise OddError("out of the blue")
        return real(*args)

    monkeypatch.setattr(where, what, odd)
    wait_for(lambda: scheduler._step() >= 0 and len(runs(client)) == 3, every=0)
    assert runs(client) == {"bread": 1, "eggs": 1, "milk": 1}
    failed = log(app, events.RUN_FAILED)
    assert {event.subject for event in failed} == {"bad"}
    assert all("out of the blue" in event.data["reason"] for event in failed)
    assert all(event.data["trigger"] for event in failed)
