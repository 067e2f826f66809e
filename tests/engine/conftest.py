"""For the tests of the engine: schedulers in this process, stepped by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from redbeat_core import RedBeatScheduler
from redbeat_core.dispatch.bulk import BulkDispatch
from tests.support.rabbit import Rabbit
from tests.support.shop import make_app


@pytest.fixture
def make_scheduler(url: str) -> Iterator[Callable[..., RedBeatScheduler]]:
    made: list[RedBeatScheduler] = []

    def make(**conf: Any) -> RedBeatScheduler:
        made.append(RedBeatScheduler(make_app(url, conf)))
        return made[-1]

    yield make
    for scheduler in made:
        scheduler.close()


@pytest.fixture
def make_on_rabbit(
    make_scheduler: Callable[..., RedBeatScheduler], rabbit: Rabbit, queue: str
) -> Callable[..., RedBeatScheduler]:
    """Makes schedulers whose broker is RabbitMQ."""

    def made(**conf: Any) -> RedBeatScheduler:
        return make_scheduler(broker_url=rabbit.url(), task_default_queue=queue, **conf)

    return made


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the entries whose runs were filled."""
    names: list[str] = []
    fill = BulkDispatch.fill

    def noting(self: BulkDispatch, due: Any) -> Any:
        made = fill(self, due)
        if made is not None:
            names.append(due.name)
        return made

    monkeypatch.setattr(BulkDispatch, "fill", noting)
    return names
