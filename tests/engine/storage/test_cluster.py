"""Tests the schedule on a real Cluster node: it works if the key prefix has a hash tag."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator

import pytest
from celery import Celery
from redis.exceptions import ReadOnlyError

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.entries.view import decode_record
from redbeat_core.events import Snapshot
from redbeat_core.leadership.health import read_health
from redbeat_core.operations import Operations
from redbeat_core.storage.connection import get_redis
from redbeat_core.storage.event_stream import EventStream
from redbeat_core.storage.schedule_store import store_for
from tests.support.server import Server, free_port
from tests.support.shop import make_app
from tests.support.waiting import wait_for

STATIC = {"orders": {"task": "shop.record", "schedule": 3600.0}}


@pytest.fixture
def cluster(new_server: Callable[..., Server]) -> Server:
    """A Cluster of one node, which owns all slots."""
    node = new_server(
        options={
            "cluster-enabled": "yes",
            "databases": "1",
            # The default, 10000 above the server's port, may exceed the highest port.
            "cluster-port": str(free_port()),
        }
    )
    with node.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_for(lambda: client.cluster("INFO")["cluster_state"] == "ok")
    return node


@pytest.fixture
def app(server: Server, cluster: Server) -> Iterator[Celery]:
    schedule_url = cluster.url().replace("redis://", "redis-cluster://")
    conf = {
        "redbeat_redis_url": schedule_url,
        "redbeat_key_prefix": "{shop}:",
        "beat_schedule": STATIC,
    }
    app = make_app(server.url(), conf)
    yield app
    app.close()


def test_the_whole_way_works_on_a_cluster(app: Celery, server: Server) -> None:
    scheduler = RedBeatScheduler(app)
    operations = Operations(store_for(app), app=app)
    scheduler._step()
    RedBeatSchedulerEntry("dynamic", "shop.record", 3600.0, app=app).save()
    trigger = operations.trigger("dynamic")
    operations.pause("orders", note="wait")
    while scheduler._step() == 0:
        continue
    store = store_for(app)
    views = {record.name: decode_record(record, app) for record in store.snapshot().records}
    assert {"orders", "dynamic"} <= set(views)
    assert not views["orders"].enabled
    dispatched = [e for e in store.log_after(0) if e.type == events.RUN_DISPATCHED]
    assert [event.data["trigger"] for event in dispatched] == [trigger]
    with server.client() as broker:
        assert broker.llen("shop") == 1
    health = read_health(store)
    assert health.leader is not None
    assert health.leader.delivery == "at-least-once"
    assert health.server.version
    operations.delete("dynamic")
    scheduler.close()


def test_a_follower_sees_a_clusters_changes(app: Celery) -> None:
    RedBeatSchedulerEntry("dynamic", "shop.record", 3600.0, app=app).save()
    stop = threading.Event()
    following = EventStream(store_for(app)).follow(stop)
    snapshot = next(item for item in following if isinstance(item, Snapshot))
    assert [record.name for record in snapshot.records] == ["dynamic"]
    store_for(app).delete("dynamic")
    heard = itertools.chain.from_iterable(getattr(item, "events", ()) for item in following)
    assert next(iter(heard)).type == events.ENTRY_DELETED
    stop.set()


def test_without_a_hash_tag_it_is_refused(app: Celery) -> None:
    app.conf.redbeat_key_prefix = "shop:"
    with pytest.raises(SystemExit, match=r"hash tag, for example '{shop}:'"):
        RedBeatScheduler(app)


def test_what_the_broker_says_of_a_cluster_counts_for_the_schedule(
    server: Server, cluster: Server
) -> None:
    options = {
        "cluster": True,
        "client_name": "shop",
        "socket_timeout": 7.5,
        "visibility_timeout": 60,
        "max_connections": 1,
    }
    conf = {"redbeat_redis_url": cluster.url(), "broker_transport_options": options}
    app = make_app(server.url(), {**conf, "redbeat_key_prefix": "{shop}:"})
    RedBeatSchedulerEntry("orders", "shop.record", 60.0, app=app).save()
    made_of = get_redis(app).nodes_manager.connection_kwargs
    assert (made_of["client_name"], made_of["socket_timeout"]) == ("shop", 7.5)
    assert not made_of.keys() & {"visibility_timeout", "max_connections"}
    app.close()


def test_a_node_that_became_a_replica_is_asked_again(app: Celery) -> None:
    scheduler = RedBeatScheduler(app)
    scheduler._step()
    assert scheduler._unreachable(ReadOnlyError("You can't write against a read only replica.")) > 0
    scheduler._step()
    assert scheduler.lock is not None
    scheduler.close()
