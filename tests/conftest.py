"""What every test may ask for. See tests/support for what these fixtures give.

``server``          a running server, empty, shared by the tests of one pytest worker
``any_server``      the same, once for each of the two server programs
``new_server``      makes servers of the test's own (persistent, with a password, with options)
``redis_server``    the machine's redis-server
``rabbit``          a running RabbitMQ node, shared by the tests of one pytest worker
``queue``           the name of a queue for this test alone
``url``, ``client`` the address of ``server``'s database 0, and a client for it
``app``             the tests' shop as an app in this process, on ``server``
``processes``       starts real beats, workers and consoles on ``server``, and ends them
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from tests.support import effort
from tests.support.processes import Processes
from tests.support.rabbit import Rabbit
from tests.support.server import REDIS, VALKEY, Server
from tests.support.shop import make_app


@pytest.fixture(scope="session")
def _servers() -> Iterator[dict[str, Server]]:
    servers: dict[str, Server] = {}
    yield servers
    for one in servers.values():
        one.close()


def _empty(servers: dict[str, Server], kind: str) -> Server:
    if kind not in servers:
        servers[kind] = Server(kind)
    servers[kind].start().flush()
    return servers[kind]


@pytest.fixture
def server(_servers: dict[str, Server]) -> Server:
    return _empty(_servers, VALKEY)


@pytest.fixture
def redis_server(_servers: dict[str, Server]) -> Server:
    return _empty(_servers, REDIS)


@pytest.fixture(params=[VALKEY, REDIS])
def any_server(request: pytest.FixtureRequest, _servers: dict[str, Server]) -> Server:
    return _empty(_servers, request.param)


@pytest.fixture
def new_server() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(kind: str = VALKEY, **options: Any) -> Server:
        made.append(Server(kind, **options))
        return made[-1].start()

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def _rabbits() -> Iterator[list[Rabbit]]:
    nodes: list[Rabbit] = []
    yield nodes
    for one in nodes:
        one.close()


@pytest.fixture
def rabbit(_rabbits: list[Rabbit]) -> Rabbit:
    if not _rabbits:
        _rabbits.append(Rabbit())
    return _rabbits[0].start()


@pytest.fixture
def queue() -> str:
    return f"shop-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def url(server: Server) -> str:
    return server.url()


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with server.client() as client:
        yield client


@pytest.fixture
def app(url: str) -> Iterator[Celery]:
    app = make_app(url)
    yield app
    app.close()


@pytest.fixture
def processes(
    request: pytest.FixtureRequest, server: Server, tmp_path: Path
) -> Iterator[Processes]:
    processes = Processes(server.url(), tmp_path)
    yield processes
    processes.close()
    if request.node.stash.get(FAILED, False):
        print(processes.logs())


FAILED = pytest.StashKey[bool]()


def pytest_xdist_auto_num_workers() -> int:
    """Two for each core: half of the tests' time is waiting for other processes."""
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give hypothesis the seed of the run, unless it was given one."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(effort.SEED)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give those that try many cases the time that a slow machine needs for them."""
    for item in items:
        if effort.EFFORT == effort.SOAK:
            item.add_marker(pytest.mark.timeout(4 * 3600))
        elif item.get_closest_marker("thorough"):
            item.add_marker(pytest.mark.timeout(600))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was tried, and how to try the same again."""
    terminalreporter.write_line(effort.summary())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if call.when == "call" and getattr(report, "failed", False):
        item.stash[FAILED] = True
    return report
