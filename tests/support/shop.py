"""The app that tests run: its tasks write down in Redis what ran.

``celery -A tests.support.shop`` reads its server from TEST_SHOP_URL and more settings from
TEST_SHOP_CONF (JSON). In the test's own process, :func:`make_app` gives the same app.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis
from celery import Celery
from celery.schedules import crontab

#: The list with a line for each run, oldest first. No entry key can collide with it.
RAN = "tests:ran"


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a task.

    :ivar task: the task's name.
    :ivar id: the task id.
    :ivar at: when it ran, Unix seconds.
    :ivar headers: those of the message that are not Celery's own bookkeeping.
    """

    task: str
    id: str
    at: float
    args: list[Any]
    kwargs: dict[str, Any]
    headers: dict[str, Any]


def ran(client: redis.Redis) -> list[Ran]:
    """What ran so far, oldest first. *client* must give text."""
    return [Ran(**json.loads(line)) for line in client.lrange(RAN, 0, -1)]


def make_app(url: str, conf: Mapping[str, Any] | None = None, *, main: str = "shop") -> Celery:
    """An app with the tests' tasks, whose broker and schedule are at *url*.

    The tasks: ``shop.record`` takes anything, ``shop.fail`` raises ValueError with the given
    text, ``shop.slow`` takes the given seconds, ``shop.retry`` fails once and then succeeds.

    :param conf: Celery settings on top; in ``beat_schedule`` a schedule may be written as
        ``{"crontab": {...}}``, as JSON has no crontab.
    """
    app = Celery(main, set_as_current=False)
    app.conf.update(
        broker_url=url,
        redbeat_redis_url=url,
        task_ignore_result=True,
        task_default_queue="shop",
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        enable_utc=True,
        timezone="UTC",
    )
    settings = dict(conf or {})
    if "beat_schedule" in settings:
        settings["beat_schedule"] = {
            name: {**entry, "schedule": _schedule(entry["schedule"])}
            for name, entry in settings["beat_schedule"].items()
        }
    app.conf.update(settings)
    _add_tasks(app, url)
    return app


def _schedule(value: Any) -> Any:
    return crontab(**value["crontab"]) if isinstance(value, dict) else value


def _add_tasks(app: Celery, url: str) -> None:
    client = redis.Redis.from_url(url, decode_responses=True)

    def write_down(task: Any) -> None:
        request = task.request
        run = {
            "task": task.name,
            "id": request.id,
            "at": time.time(),
            "args": list(request.args or ()),
            "kwargs": dict(request.kwargs or {}),
            "headers": dict(request.headers or {}),
        }
        client.rpush(RAN, json.dumps(run))

    @app.task(name="shop.record", bind=True, shared=False)
    def record(self: Any, *args: Any, **kwargs: Any) -> None:
        write_down(self)

    @app.task(name="shop.fail", bind=True, shared=False)
    def fail(self: Any, text: str = "out of stock", **kwargs: Any) -> None:
        write_down(self)
        raise ValueError(text)

    @app.task(name="shop.slow", bind=True, shared=False)
    def slow(self: Any, seconds: float = 1.0, **kwargs: Any) -> None:
        write_down(self)
        time.sleep(seconds)

    @app.task(name="shop.retry", bind=True, shared=False, max_retries=1, default_retry_delay=0)
    def retry(self: Any, *args: Any, **kwargs: Any) -> None:
        write_down(self)
        if self.request.retries == 0:
            raise self.retry(exc=ValueError("not yet"), countdown=0)


def _from_environment() -> Celery | None:
    url = os.environ.get("TEST_SHOP_URL")
    if url is None:
        return None
    app = make_app(url, json.loads(os.environ.get("TEST_SHOP_CONF", "{}")))
    app.set_current()
    return app


app = _from_environment()
if app is not None:
    from redbeat_core import worker

    worker.install(app)
