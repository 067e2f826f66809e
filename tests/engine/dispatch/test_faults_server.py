"""What real servers do to a scheduler: scripts that are killed, failovers, lost writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import redis

from redbeat_core import RedBeatScheduler
from redbeat_core.storage import scripts
from tests.support.faulty import FaultProxy
from tests.support.ledger import Ledger
from tests.support.server import REDIS, VALKEY, Server
from tests.support.shop import make_app
from tests.support.stepping import due_entry, queued, run
from tests.support.waiting import wait_for

#: Present: the commit stops for ever at the write that it holds the number of.
STOP = "tests:stop-at-write"
_STOPPING = """
local real, writes = redis, 0
local stop = tonumber(real.call('GET', '%s') or '')
local redis = setmetatable({}, {__index = real})
local function stopping(call)
  return function(name, ...)
    if stop and string.find('LPUSH ZADD HSET XDEL XADD PUBLISH', name) then
      if writes == stop then
        while true do end
      end
      writes = writes + 1
    end
    return call(name, ...)
  end
end
redis.call, redis.pcall = stopping(real.call), stopping(real.pcall)
"""
NAMES = ("bread", "milk", "eggs")
HOURLY = dict.fromkeys(NAMES, 3600.0)


@pytest.fixture(params=[VALKEY, REDIS])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def _stopping_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    real = scripts.script_text

    def text(name: str) -> str:
        return (_STOPPING % STOP if name == "commit" else "") + real(name)

    monkeypatch.setattr(scripts, "script_text", text)


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[str], RedBeatScheduler]]:
    made: list[RedBeatScheduler] = []

    def make(url: str) -> RedBeatScheduler:
        patience = {"socket_timeout": 0.3}
        conf = {"redbeat_redis_options": patience, "broker_transport_options": patience}
        made.append(RedBeatScheduler(make_app(url, conf)))
        return made[-1]

    yield make
    for scheduler in made:
        scheduler.close()


@pytest.mark.parametrize("write", [0, 1, 2, 3, 5, 7])
@pytest.mark.usefixtures("_stopping_commit")
def test_a_commit_that_is_killed_half_way_has_done_nothing(
    kind: str,
    write: int,
    new_server: Callable[..., Server],
    make: Callable[[str], RedBeatScheduler],
) -> None:
    server = new_server(kind, persistent=True, options={"lua-time-limit": "20"})
    client = server.client()
    app = make_app(server.url())
    scheduler = make(server.url())
    scheduler._step()
    for name in NAMES:
        due_entry(app, name)
    ledger = Ledger(client, HOURLY)
    client.set(STOP, write)

    def busy() -> bool:
        try:
            return not client.ping()
        except redis.ResponseError as exc:
            return "BUSY" in str(exc)

    wait_for(lambda: scheduler._step() >= 0 and busy())
    # Busy for everybody, which is waited for, too.
    assert scheduler._step() > 0
    if write == 0:
        client.script_kill()
        wait_for(lambda: not busy())
    else:
        with pytest.raises(redis.ResponseError, match="UNKILLABLE"):
            client.script_kill()
        with suppress(redis.ConnectionError):
            client.shutdown(nosave=True)
        wait_for(lambda: not server.running)
        assert scheduler._step() > 0
        server.start()
    client.delete(STOP)
    assert queued(client) == []
    wait_for(lambda: scheduler._step() >= 0 and len(queued(client)) == len(NAMES))
    run(scheduler)
    ledger.check()
    app.close()


@pytest.fixture
def pair(
    kind: str, new_server: Callable[..., Server]
) -> Iterator[tuple[redis.Redis, redis.Redis, FaultProxy, Callable[[], None]]]:
    """A primary and its replica, a way to either, and what makes that lead to the replica."""
    # Replicas are otherwise kept waiting for five seconds, in case there come more of them.
    primary = new_server(kind, options={"repl-diskless-sync-delay": "0"})
    replica = new_server(kind)
    first, second = primary.client(), replica.client()
    second.replicaof("127.0.0.1", str(primary.port))
    wait_for(lambda: second.info("replication")["master_link_status"] == "up")
    proxy = FaultProxy(primary.port)
    yield first, second, proxy, lambda: proxy.switch(replica.port)
    proxy.close()


Pair = tuple[redis.Redis, redis.Redis, FaultProxy, Callable[[], None]]


def test_a_replica_that_is_not_yet_promoted_is_waited_for(
    pair: Pair, make: Callable[[str], RedBeatScheduler]
) -> None:
    primary, replica, proxy, fail_over = pair
    scheduler = make(proxy.url())
    for name in NAMES:
        due_entry(scheduler.app, name)
    ledger = Ledger(primary, HOURLY)
    run(scheduler)
    late = {"late": 3600.0, "later": 3600.0}
    for name in late:
        due_entry(scheduler.app, name)
    after = Ledger(primary, late)
    primary.wait(1, 10_000)
    fail_over()
    for _ in range(4):
        assert scheduler._step() > 0
    assert len(queued(replica)) == len(NAMES)
    # Redis-py: this is how to say NO ONE.
    replica.replicaof("NO", "ONE")
    wait_for(lambda: scheduler._step() >= 0 and len(queued(replica)) == len(NAMES) + 2)
    run(scheduler)
    assert scheduler.publisher.mode == "exactly-once"
    for books in (ledger, after):
        books.move_to(replica)
        books.check()


def test_a_run_that_a_failover_forgot_is_made_again_under_the_same_id(
    pair: Pair, make: Callable[[str], RedBeatScheduler]
) -> None:
    """The replica missed the commit, as an asynchronous one may: the message and the advance of
    its entry are in the same commit, so they are lost or kept together."""
    primary, replica, proxy, fail_over = pair
    scheduler = make(proxy.url())
    due_entry(scheduler.app, "kept")
    run(scheduler)
    due_entry(scheduler.app, "forgotten")
    ledger = Ledger(primary, {"forgotten": 3600.0})
    primary.wait(1, 10_000)
    replica.replicaof("NO", "ONE")
    run(scheduler)
    assert len(queued(primary)) == 2
    fail_over()
    wait_for(lambda: scheduler._step() >= 0 and len(queued(replica)) == 2)
    run(scheduler)
    ids = [[message["headers"]["id"] for message in queued(one)] for one in (primary, replica)]
    assert ids[0] == ids[1]
    ledger.move_to(replica)
    ledger.check()


def test_a_primary_that_became_a_replica_and_keeps_its_connections_is_left(
    pair: Pair, make: Callable[[str], RedBeatScheduler]
) -> None:
    """As after a failover by name: only new connections lead to the new primary."""
    primary, replica, proxy, _ = pair
    scheduler = make(proxy.url())
    due_entry(scheduler.app, "before")
    wait_for(lambda: scheduler.tick() == 0 and len(queued(primary)) == 1)
    primary.wait(1, 10_000)
    port = replica.connection_pool.connection_kwargs["port"]
    replica.replicaof("NO", "ONE")
    proxy.target = port
    primary.replicaof("127.0.0.1", str(port))
    wait_for(lambda: primary.info("replication")["master_link_status"] == "up")
    due_entry(make_app(f"redis://127.0.0.1:{port}/0"), "after")
    ledger = Ledger(replica, {"after": 3600.0})
    wait_for(lambda: scheduler.tick() == 0 and len(queued(replica)) == 2)
    ledger.check()
    assert scheduler.publisher.mode == "exactly-once"
    # It hears there of changes, too.
    wait_for(lambda: replica.pubsub_numsub("redbeat::events")[0][1] == 1)
