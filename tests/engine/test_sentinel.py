"""A Redis found through a real Sentinel, with the settings that celery-redbeat takes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry
from tests.support.server import VALKEY, Server, free_port, program
from tests.support.shop import make_app
from tests.support.waiting import wait_for


@pytest.fixture
def sentinel_port(server: Server, tmp_path: Path) -> Iterator[int]:
    """A Sentinel that watches ``server`` under the name ``shop``."""
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
    assert scheduler.dispatcher.mode == "exactly-once"
    assert scheduler.store.database == 3
    with server.client(db=3) as client:
        assert client.zscore("redbeat::schedule", "redbeat:orders") is not None
    scheduler.close()
    app.close()
