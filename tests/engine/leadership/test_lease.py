"""Tests the lease: there is one leader, and it detects the loss of its lease."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import Celery

from redbeat_core import events
from redbeat_core.clock import Clock
from redbeat_core.leadership.health import read_health
from redbeat_core.leadership.lease import Lease
from redbeat_core.storage.leader_store import LeaderStore
from redbeat_core.storage.schedule_store import ScheduleStore, store_for
from tests.support.waiting import wait_for

Make = Callable[..., Lease]
LOCK = "redbeat::lock"


@pytest.fixture
def store(app: Celery) -> ScheduleStore:
    return store_for(app)


@pytest.fixture
def make_lease(store: ScheduleStore) -> Iterator[Make]:
    made: list[Lease] = []

    def make(timeout: float = 30.0, **more: Any) -> Lease:
        made.append(Lease(store, LOCK, timeout, **more))
        return made[-1]

    yield make
    for lease in made:
        lease.stop()


def leaders(store: ScheduleStore) -> list[Any]:
    found = (e for e in store.log_after(0) if e.type == events.LEADER_CHANGED)
    return [event.data["leader"] for event in found]


def test_one_leads_and_the_other_learns_who(store: ScheduleStore, make_lease: Make) -> None:
    first, second = make_lease(), make_lease()
    assert first.acquire().held
    attempt = second.acquire()
    assert not attempt.held
    assert attempt.holder == first.token
    assert 0 < attempt.wait <= 30
    assert (first.held, second.held) == (True, False)
    assert leaders(store) == [first.token]


def test_taking_it_twice_is_no_change(store: ScheduleStore, make_lease: Make) -> None:
    lease = make_lease()
    assert lease.acquire().held
    assert lease.acquire().held
    assert leaders(store) == [lease.token]


def test_releasing_hands_over_at_once_and_says_so(store: ScheduleStore, make_lease: Make) -> None:
    first, second = make_lease(), make_lease()
    first.acquire()
    assert first.release()
    assert not first.held
    assert second.acquire().held
    assert not first.release()
    assert second.held
    assert leaders(store) == [first.token, None, second.token]


def test_the_token_names_host_and_process(client: redis.Redis, make_lease: Make) -> None:
    import os
    import socket

    lease = make_lease()
    lease.acquire()
    token = client.get(LOCK)
    assert token == lease.token
    assert str(token).startswith(f"{socket.gethostname()}:{os.getpid()}:")


def test_a_lease_that_another_has_is_given_up(client: redis.Redis, make_lease: Make) -> None:
    lost = threading.Event()
    lease = make_lease(timeout=0.3, on_lost=lost.set)
    lease.acquire()
    client.set(LOCK, "somebody else")
    lease.start()
    assert lost.wait(10)
    assert not lease.held
    assert client.get(LOCK) == "somebody else"


def test_the_thread_keeps_a_lease_past_its_length(client: redis.Redis, make_lease: Make) -> None:
    lease = make_lease(timeout=1.0)
    lease.acquire()
    long_past = time.monotonic() + 2.5 * lease.timeout
    lease.start()

    def outlived() -> bool:
        assert client.get(LOCK) == lease.token
        return time.monotonic() > long_past

    wait_for(outlived)
    assert lease.held


@pytest.fixture(params=["by itself", "by a claim"])
def renew(
    request: pytest.FixtureRequest, store: ScheduleStore, client: redis.Redis
) -> Callable[[Lease], bool]:
    claims = LeaderStore(client, store.keys)

    def by_a_claim(lease: Lease) -> bool:
        return claims.claim(lease.token, lease.timeout, 0.0, 1, lock=LOCK).held

    return by_a_claim if request.param == "by a claim" else Lease.renew


def test_a_renewed_lease_lasts_its_whole_length_again(
    client: redis.Redis, make_lease: Make, renew: Callable[[Lease], bool]
) -> None:
    lease = make_lease(timeout=600.0)
    lease.acquire()
    client.pexpire(LOCK, 60_000)
    assert renew(lease)
    assert 60_000 < client.pttl(LOCK) <= 600_000


def test_who_would_renew_the_lease_of_another_lengthens_nothing(
    client: redis.Redis, make_lease: Make, renew: Callable[[Lease], bool]
) -> None:
    client.set(LOCK, "somebody else", px=60_000)
    assert not renew(make_lease(timeout=600.0))
    assert client.get(LOCK) == "somebody else"
    assert client.pttl(LOCK) <= 60_000


def test_each_heartbeat_holds_the_clock_against_that_of_redis(make_lease: Make) -> None:
    ahead = 0.0
    clock = Clock(lambda: time.time() + ahead)
    lease = make_lease(clock=clock)
    for ahead in (0.0, 3600.0, -3600.0, 0.0):
        lease.heartbeat()
        assert clock.skew is not None
        # The reply may take some time, which the measured error includes.
        assert abs(clock.skew.seconds - ahead) < 60


def test_without_a_lock_everybody_leads(store: ScheduleStore) -> None:
    lease = Lease(store, None, 10)
    assert lease.held
    assert lease.acquire().held
    assert lease.renew()
    assert not lease.release()


def test_the_original_lock_excludes_ours_and_ours_excludes_it(
    client: redis.Redis, make_lease: Make
) -> None:
    theirs = client.lock(LOCK, timeout=30)
    assert theirs.acquire(blocking=False)
    ours = make_lease()
    assert not ours.acquire().held
    theirs.release()
    assert ours.acquire().held
    assert not client.lock(LOCK, timeout=30).acquire(blocking=False)


def test_health_tells_who_leads_and_who_stands_by(store: ScheduleStore, make_lease: Make) -> None:
    facts = {"role": "leader", "delivery": "exactly-once", "timezone": "Europe/Berlin"}
    leader = make_lease(facts=lambda: facts)
    standby = make_lease(facts=lambda: {**facts, "role": "standby"})
    leader.acquire()
    leader.heartbeat()
    standby.heartbeat()
    health = read_health(store)
    assert health.leader is not None
    assert health.leader.token == leader.token
    assert health.leader.delivery == "exactly-once"
    assert health.leader.timezone == "Europe/Berlin"
    assert not health.leader.foreign
    assert health.standbys == 1
    assert health.server.version


def test_health_knows_a_foreign_leader(store: ScheduleStore, client: redis.Redis) -> None:
    client.set(LOCK, "0123456789abcdef", px=60000)
    health = read_health(store)
    assert health.leader is not None
    assert health.leader.foreign
    client.delete(LOCK)
    assert read_health(store).leader is None


def test_a_beat_that_fell_silent_is_forgotten(
    store: ScheduleStore, client: redis.Redis, make_lease: Make
) -> None:
    old = {"token": "old", "host": "h", "pid": 1, "role": "leader", "at": 1}
    client.hset("redbeat::beats", mapping={"old": json.dumps(old), "odd": "no json"})
    lease = make_lease(facts=lambda: {"role": "standby"})
    lease.heartbeat()
    assert set(client.hkeys("redbeat::beats")) == {lease.token}
    lease.stop()
    assert client.hkeys("redbeat::beats") == []


def test_a_heartbeat_carries_the_position_of_the_log_and_is_not_in_it(
    store: ScheduleStore, make_lease: Make
) -> None:
    lease = make_lease()
    lease.acquire()
    pubsub = store.client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(store.keys.events)
    pubsub.ping()
    lease.heartbeat()
    heard = [pubsub.get_message(timeout=5) for _ in range(3)]
    (event,) = [events.parse_event(m["data"]) for m in heard if m and m["type"] == "message"]
    assert event is not None
    assert event.type == events.BEAT_HEARTBEAT
    assert event.seq == store.last_seq() == 1


def test_health_finds_a_leader_whose_lock_has_another_name(
    store: ScheduleStore, client: redis.Redis
) -> None:
    lease = Lease(store, "redbeat:mine", 30, facts=lambda: {"role": "leader"})
    lease.acquire()
    leader = read_health(store).leader
    assert leader is not None
    assert leader.token == lease.token
    lease.stop()
    assert read_health(store).leader is None


def test_health_finds_a_leader_without_a_lock(store: ScheduleStore) -> None:
    lease = Lease(store, None, 30, facts=lambda: {"role": "leader", "timezone": "UTC"})
    lease.heartbeat()
    leader = read_health(store).leader
    assert leader is not None
    assert leader.token == lease.token


def test_a_long_lease_does_not_make_a_beat_silent(store: ScheduleStore) -> None:
    assert Lease(store, LOCK, 1500.0).interval <= 3.0


def test_telling_the_facts_anew_keeps_since_when_it_leads(
    store: ScheduleStore, client: redis.Redis, make_lease: Make
) -> None:
    facts = {"delivery": "?"}
    lease = make_lease(facts=lambda: facts)
    lease.acquire()
    since = client.hget("redbeat::leader", "since")
    facts["delivery"] = "exactly-once"
    lease.describe()
    assert client.hget("redbeat::leader", "delivery") == "exactly-once"
    assert client.hget("redbeat::leader", "since") == since
    assert leaders(store) == [lease.token]


def test_a_server_that_hangs_does_not_hold_up_the_end(new_server: Callable[..., Any]) -> None:
    from tests.support.shop import make_app

    server = new_server()
    app = make_app(server.url())
    lease = Lease(store_for(app), LOCK, 30)
    lease.acquire()
    server.freeze()
    # Each wait is limited to a second; redis-py's own timeout would be ten.
    ending = threading.Thread(target=lease.stop)
    ending.start()
    ending.join(8)
    assert not ending.is_alive()
    server.thaw()
    app.close()
