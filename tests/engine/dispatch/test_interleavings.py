"""What others do between a claim and its commit wins, or comes cleanly after it."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from celery.schedules import schedule
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from redbeat import RedBeatSchedulerEntry as Original

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry
from redbeat_core.operations import OperationError, Operations
from redbeat_core.storage.schedule_store import store_for
from tests.support.bystander import QUEUE, SCHEDULE, Bystander
from tests.support.effort import examples
from tests.support.faulty import FaultProxy
from tests.support.server import Server
from tests.support.shop import make_app

NAMES = ("bread", "milk")
HOUR = 3600.0
#: The lock, how many hours the scheduler is behind, how many entries a batch takes.
WAYS = {
    "no lock, behind": (None, 2, 5),
    "no lock, behind, small batches": (None, 2, 1),
    "no lock, on time": (None, 0, 5),
    "a lock, behind, small batches": ("redbeat::lock", 2, 1),
    "a lock, on time": ("redbeat::lock", 0, 5),
}
Change = Callable[["Stage", str], object]


class Stage:
    """A scheduler behind a proxy, another one, and all who may change the schedule."""

    def __init__(
        self, server: Server, proxy: FaultProxy, lock: str | None, behind: int, batch: int
    ) -> None:
        self.client = server.client()
        self.behind = behind * HOUR
        conf = {
            "redbeat_catchup": "all",
            "redbeat_batch_size": batch,
            "redbeat_lock_key": lock,
        }
        self.scheduler = RedBeatScheduler(make_app(proxy.url(), conf))
        self.other = RedBeatScheduler(make_app(server.url(), conf))
        self.app = make_app(server.url())
        self.original_app = make_app(server.url())
        self.operations = Operations(store_for(self.app), app=self.app)
        self.lock = lock
        self.tags = itertools.count()
        self.loaded: dict[str, RedBeatSchedulerEntry] = {}
        proxy.watcher = self._watch

    def begin(self, script: list[list[tuple[str, str]]]) -> None:
        """Everything anew; *script* is what happens at each turn, before and after each claim and
        each commit."""
        if keys := [*self.client.scan_iter("redbeat:*"), QUEUE]:
            self.client.delete(*keys)
        self.loaded.clear()
        self.failure: BaseException | None = None
        self.script = iter(script)
        self.over = False
        for name in NAMES:
            save(self, name)
            rewind(self, name)
            self.operations.trigger(name)
        self.bystander = Bystander(self.client, NAMES)

    def _watch(self, step: str, phase: str) -> None:
        if step not in ("claim", "commit") or self.failure or self.over:
            return
        try:
            turn = next(self.script, None)
            self.over = turn is None
            for change, name in turn or ():
                self.bystander.check()
                CHANGES[change](self, name)
                if change != "other beat":
                    self.bystander.seen = self.bystander.look()
        except BaseException as exc:
            self.failure = exc

    def play(self) -> None:
        """Let the scheduler work until the script is over and nothing is left to do."""
        resting = 0
        for _ in range(200):
            if self.failure:
                raise self.failure
            pause = self.scheduler._step()
            if pause > 0 and self.client.get("redbeat::lock") != self.scheduler.lease.token:
                # Whoever has the lease dies.
                self.client.delete("redbeat::lock")
            if self.over:
                resting = resting + 1 if pause > 0 else 0
            if resting == 3:
                self.bystander.check_rest()
                return
        raise AssertionError("it does not come to rest")

    def tag(self) -> list[str]:
        """Arguments that tell this definition from all before."""
        return [f"v{next(self.tags)}"]

    def hash(self, name: str) -> dict[str, Any] | None:
        """The definition as it is stored, where there is one that can be read."""
        text = self.client.hget(f"redbeat:{name}", "definition")
        with suppress(TypeError, ValueError):
            known: dict[str, Any] = json.loads(text or "")
            return known
        return None

    def close(self) -> None:
        self.scheduler.close()
        self.other.close()
        self.client.close()


def save(stage: Stage, name: str) -> None:
    RedBeatSchedulerEntry(name, "shop.record", HOUR, stage.tag(), app=stage.app).save()


def rewind(stage: Stage, name: str) -> None:
    """As if it had come due a moment ago, or as if no beat had run for some hours since."""
    if stage.hash(name) is None:
        return
    nominal = int(time.time()) - stage.behind - 5 + next(stage.tags) % 4000 / 1000
    pipe = stage.client.pipeline()
    pipe.zadd(SCHEDULE, {f"redbeat:{name}": nominal})
    pipe.hset(f"redbeat:{name}", "due", repr(nominal))
    pipe.execute()


def load(stage: Stage, name: str) -> None:
    with suppress(KeyError, ValueError):
        stage.loaded[name] = RedBeatSchedulerEntry.from_key(f"redbeat:{name}", app=stage.app)


def use_loaded(verb: Callable[[RedBeatSchedulerEntry], object]) -> Change:
    """What code does with an entry that it read some time ago."""

    def change(stage: Stage, name: str) -> None:
        if name in stage.loaded:
            there = stage.client.exists(f"redbeat:{name}")
            verb(stage.loaded[name])
            assert stage.client.exists(f"redbeat:{name}") == there

    return change


def save_loaded(stage: Stage, name: str) -> None:
    if name in stage.loaded:
        stage.loaded[name].args = stage.tag()
        stage.loaded[name].save()


def save_as_the_original_does(stage: Stage, name: str) -> None:
    Original(name, "shop.record", schedule(HOUR), stage.tag(), app=stage.original_app).save()


def by_hand(**members: Any) -> Change:
    """With ``HSET``, and nothing else."""

    def change(stage: Stage, name: str) -> None:
        known = stage.hash(name)
        if known is not None:
            known |= {"args": stage.tag(), **members}
            stage.client.hset(f"redbeat:{name}", "definition", json.dumps(known))

    return change


def verb(call: Callable[[Operations, str], object]) -> Change:
    """With the console."""

    def change(stage: Stage, name: str) -> None:
        with suppress(OperationError):
            call(stage.operations, name)

    return change


def corrupt(stage: Stage, name: str) -> None:
    if stage.client.exists(f"redbeat:{name}"):
        stage.client.hset(f"redbeat:{name}", "definition", "{oops")


def score_by_hand(stage: Stage, name: str) -> None:
    if stage.hash(name) is not None:
        stage.client.zadd(SCHEDULE, {f"redbeat:{name}": int(time.time()) - 1})


def delete_by_hand(stage: Stage, name: str) -> None:
    pipe = stage.client.pipeline()
    pipe.delete(f"redbeat:{name}")
    pipe.zrem(SCHEDULE, f"redbeat:{name}")
    pipe.execute()


def usurp(stage: Stage, name: str) -> None:
    if stage.lock is not None:
        stage.client.set("redbeat::lock", "another's", px=60_000)


CHANGES: dict[str, Change] = {
    "save": save,
    "rewind": rewind,
    "load": load,
    "save what was loaded": save_loaded,
    "count a run of what was loaded": use_loaded(lambda entry: next(entry)),
    "reschedule what was loaded": use_loaded(lambda entry: entry.reschedule()),
    "delete what was loaded": lambda stage, name: (
        stage.loaded[name].delete() if name in stage.loaded else None
    ),
    "save with the original": save_as_the_original_does,
    "edit by hand": by_hand(),
    "disable by hand": by_hand(enabled=False),
    "pause": verb(lambda operations, name: operations.pause(name)),
    "resume": verb(lambda operations, name: operations.resume(name)),
    "edit": verb(lambda operations, name: operations.edit_schedule(name, schedule(1800.0))),
    "delete": verb(lambda operations, name: operations.delete(name)),
    "trigger": verb(lambda operations, name: operations.trigger(name)),
    "corrupt": corrupt,
    "score by hand": score_by_hand,
    "delete by hand": delete_by_hand,
    "remove by hand": lambda stage, name: stage.client.delete(f"redbeat:{name}"),
    "unschedule by hand": lambda stage, name: stage.client.zrem(SCHEDULE, f"redbeat:{name}"),
    "forget the scripts": lambda stage, name: stage.client.script_flush(),
    "other beat": lambda stage, name: stage.other._step(),
    "usurp": usurp,
}
TURN = st.lists(st.tuples(st.sampled_from(sorted(CHANGES)), st.sampled_from(NAMES)), max_size=2)


@pytest.fixture(params=WAYS)
def stage(request: pytest.FixtureRequest, server: Server) -> Iterator[Stage]:
    proxy = FaultProxy(server.port)
    stage = Stage(server, proxy, *WAYS[request.param])
    yield stage
    stage.close()
    proxy.close()


@examples(40, HealthCheck.function_scoped_fixture)
@given(script=st.lists(TURN, max_size=16))
def test_whatever_others_do_meanwhile_nothing_is_lost_doubled_or_brought_back(
    stage: Stage, script: list[list[tuple[str, str]]]
) -> None:
    stage.begin(script)
    stage.play()
