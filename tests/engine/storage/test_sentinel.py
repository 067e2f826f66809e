"""Tests a Redis behind a real Sentinel, with celery-redbeat's settings."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry
from redbeat_core.storage.connection import get_redis
from tests.support.server import VALKEY, Server, free_port, program
from tests.support.shop import make_app
from tests.support.stepping import due_entry, queued, run
from tests.support.waiting import wait_for


@pytest.fixture
def sentinel_port(server: Server, tmp_path: Path) -> Iterator[int]:
    """A Sentinel that monitors ``server`` under the name ``shop``."""
    port = free_port()
    conf = tmp_path / "sentinel.conf"
    conf.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n"
        f"sentinel monitor shop 127.0.0.1 {server.port} 1\n"
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [program(VALKEY), str(conf), "--sentinel"], stdout=log, stderr=log
        )

    def knows() -> bool:
        try:
            with redis.Redis(port=port) as client:
                return bool(client.execute_command("SENTINEL", "get-master-addr-by-name", "shop"))
        except redis.RedisError:
            return False

    try:
        wait_for(knows)
        yield port
    finally:
        process.kill()
        process.wait(10)


def made_of(conf: dict[str, Any]) -> dict[str, Any]:
    """Return the connection arguments of an app with these settings, without connecting."""
    app = make_app("redis://127.0.0.1:1", conf)
    found: dict[str, Any] = get_redis(app).connection_pool.connection_kwargs
    app.close()
    return found


class Vault(redis.CredentialProvider):
    """A credential provider of redis-py."""

    def get_credentials(self) -> tuple[str, str]:
        return "ann", "secret"


def test_what_the_broker_says_of_a_sentinel_counts_for_the_schedule() -> None:
    shared = {
        "db": 3,
        "username": "ann",
        "password": "secret",
        "socket_timeout": 7.5,
        "socket_connect_timeout": 2.5,
        "health_check_interval": 5,
    }
    kombus = {
        "master_name": "shop",
        "visibility_timeout": 60,
        "global_keyprefix": "x",
        "fanout_prefix": True,
        "max_connections": 1,
        "interval_start": 0,
    }
    found = made_of(
        {"redbeat_redis_url": "sentinel://h1", "broker_transport_options": shared | kombus}
    )
    assert {name: found[name] for name in shared} == shared
    assert not found.keys() & kombus.keys()


def test_a_broker_on_plain_redis_lends_none_of_its_options() -> None:
    lent = {"db": 3, "socket_timeout": 7.5, "password": "secret", "visibility_timeout": 60}
    found = made_of({"redbeat_redis_url": "redis://h", "broker_transport_options": lent})
    assert not found.keys() & {"db", "password", "visibility_timeout"}
    assert found["socket_timeout"] != 7.5


def test_passwords_may_come_from_a_provider_instead_of_the_address() -> None:
    vault = Vault()
    options = {"credential_provider": vault}
    found = made_of(
        {"redbeat_redis_url": "sentinel://:old@h1", "broker_transport_options": options}
    )
    assert found["credential_provider"] is vault
    assert "password" not in found


def test_every_node_in_the_address_is_asked() -> None:
    url = "sentinel://:a%2Fb@h1;sentinel://h2:5000;sentinel://h3/4"
    app = make_app("redis://127.0.0.1:1", {"redbeat_redis_url": url})
    pool = get_redis(app).connection_pool
    asked = [node.connection_pool.connection_kwargs for node in pool.sentinel_manager.sentinels]
    assert [(node["host"], node["port"]) for node in asked] == [
        ("h1", 26379),
        ("h2", 5000),
        ("h3", 26379),
    ]
    assert (pool.connection_kwargs["password"], pool.connection_kwargs["db"]) == ("a/b", 4)
    app.close()


@pytest.mark.parametrize("given", [None, {"password": "of-the-sentinels"}])
def test_a_sentinel_that_hangs_is_not_waited_for(given: dict[str, str] | None) -> None:
    conf = {
        "redbeat_redis_url": "sentinel://h",
        "redbeat_redis_options": {"sentinel_kwargs": given},
    }
    app = make_app("redis://127.0.0.1:1", conf)
    pool = get_redis(app).connection_pool
    asked = pool.sentinel_manager.sentinels[0].connection_pool.connection_kwargs
    assert asked["socket_timeout"] > 0
    assert asked["socket_connect_timeout"] > 0
    assert asked.get("password") == (given and given["password"])
    app.close()


def test_nothing_is_sent_twice_by_itself() -> None:
    assert made_of({"redbeat_redis_url": "sentinel://h"})["retry"]._retries == 0


@pytest.mark.parametrize("name", ["service_name", "master_name"])
def test_the_brokers_options_lead_to_the_schedule(
    server: Server, sentinel_port: int, name: str
) -> None:
    options = {name: "shop", "db": 3, "visibility_timeout": 60}
    conf = {
        "redbeat_redis_url": f"sentinel://127.0.0.1:{free_port()};"
        f"sentinel://127.0.0.1:{sentinel_port}",
        "broker_transport_options": options,
    }
    app = make_app(server.url(), conf)
    RedBeatSchedulerEntry("orders", "shop.record", 60.0, app=app).save()
    with server.client(db=3) as client:
        assert client.exists("redbeat:orders")
    app.close()


@pytest.mark.parametrize("in_url", [True, False])
def test_the_schedule_is_found_through_a_sentinel(
    server: Server, sentinel_port: int, in_url: bool
) -> None:
    options = {"service_name": "shop"}
    url = f"sentinel://127.0.0.1:{sentinel_port}/3"
    if not in_url:
        url = "redis-sentinel://ignored"
        options |= {"sentinels": [["127.0.0.1", sentinel_port]], "db": 3}  # type: ignore[dict-item]
    app = make_app(server.url(), {"redbeat_redis_url": url, "redbeat_redis_options": options})
    RedBeatSchedulerEntry("orders", "shop.record", 60.0, app=app).save()
    scheduler = RedBeatScheduler(app)
    scheduler._step()
    assert scheduler._leading
    assert scheduler.publisher.mode == "exactly-once"
    assert scheduler.store.database == 3
    with server.client(db=3) as client:
        assert client.zscore("redbeat::schedule", "redbeat:orders") is not None
    scheduler.close()
    app.close()


def test_what_sentinels_name_is_not_one_server_for_want_of_an_address(
    server: Server, sentinel_port: int
) -> None:
    """Without permission for INFO, two primaries cannot be distinguished."""
    client: Any = server.client()
    client.execute_command("ACL", "SETUSER", "beat", "on", ">word", "~*", "&*", "+@all", "-info")
    url = f"sentinel://beat:word@127.0.0.1:{sentinel_port}"
    options = {"service_name": "shop", "master_name": "shop"}
    conf: dict[str, Any] = {"broker_url": url, "redbeat_redis_url": url}
    conf |= {"broker_transport_options": options, "redbeat_redis_options": options}
    app = make_app(server.url(), conf)
    scheduler = RedBeatScheduler(app)
    due_entry(app)
    run(scheduler)
    assert scheduler.publisher.mode == "at-least-once"
    assert len(queued(client)) == 1
    scheduler.close()
    app.close()
