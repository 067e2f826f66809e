"""Tests clients made from URLs, and the explanations of connection errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from redbeat_core import RedBeatScheduler
from redbeat_core.storage.connection import (
    ConnectionProblem,
    RetryingConnection,
    connect,
    explain,
    get_redis,
    safe_url,
)
from tests.support.server import Server
from tests.support.shop import make_app

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        (f"redis://:{SECRET}@localhost/1", "redis://:***@localhost/1"),
        (f"redis://ann:{SECRET}@localhost/1", "redis://ann:***@localhost/1"),
        (f"redis://{SECRET}@localhost", "redis://***@localhost"),
        (f"redis://ann:p@ss{SECRET}@localhost", "redis://ann:***@localhost"),
        (f"redis://localhost?password={SECRET}&db=2", "redis://localhost?password=***&db=2"),
        (f"unix://ann:{SECRET}@/run/redis.sock?db=1", "unix://ann:***@/run/redis.sock?db=1"),
        (f"redis://[oops:{SECRET}@localhost", "redis://***@localhost"),
        (f"redis://:{SECRET}/x@localhost/0", "redis://:***@localhost/0"),
        (f"redis://:x?{SECRET}@localhost/0", "redis://:***@localhost/0"),
        (f"redis://:x#{SECRET}@localhost/0#y", "redis://:***@localhost/0"),
        (f"redis://ann/x:{SECRET}@localhost/0", "redis://***@localhost/0"),
        (f"redis://localhost?password=x@{SECRET}", "redis://***"),
        (f"redis://:x?password=y@{SECRET}", "redis://***"),
        (f"redis://:x;{SECRET}@localhost", "redis://:***@localhost"),
        (f"redis://ann:{SECRET}", "redis://ann:***"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        (
            f"redis-sentinel://:{SECRET}1@h1;redis-sentinel://:{SECRET}2@h2:26380/3",
            "redis-sentinel://:***@h1;redis-sentinel://:***@h2:26380/3",
        ),
        ("sentinel://h1;sentinel://h2", "sentinel://h1;sentinel://h2"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert safe_url(url) == shown


@pytest.mark.parametrize("database", ["abc", "1.5", "-1", "0/1", "0x1"])
def test_a_database_that_is_no_number_is_refused(database: str) -> None:
    with pytest.raises(ConnectionProblem, match="must be a number") as refused:
        connect(f"redis://:{SECRET}@localhost/{database}")
    assert refused.value.permanent
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("url", [f"redis://:{SECRET}@localhost:port", f"redis://[{SECRET}", ""])
def test_what_is_no_address_is_a_problem_without_secrets(url: str) -> None:
    with pytest.raises(ConnectionProblem) as refused:
        connect(url)
    assert SECRET not in str(refused.value).replace(f"[{SECRET}", "")


@pytest.mark.parametrize("mark", ["/", "?", "#", "[", "]"])
@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis-sentinel", "redis-cluster", "valkey"])
@pytest.mark.parametrize("before", ["s3cr", "123"])
def test_a_password_that_must_be_encoded_is_refused_and_never_quoted(
    scheme: str, mark: str, before: str
) -> None:
    url = f"{scheme}://:{before}{mark}{SECRET}@localhost/0"
    with pytest.raises(ConnectionProblem, match="percent-encoded") as refused:
        connect(url)
    assert refused.value.permanent
    assert refused.value.__cause__ is None
    # urllib's own message quotes the text that it parsed as the port.
    again = explain(ValueError(f"Port could not be cast to integer value as {before!r}"), url)
    for problem in (refused.value, again):
        told = str(problem).replace("%23", "")
        assert f"{scheme}://:***@localhost/0" in told
        assert before not in told
        assert SECRET not in told


def test_a_password_is_used_as_it_is_meant_and_not_as_it_is_encoded() -> None:
    for scheme in ("redis", "sentinel"):
        client = connect(f"{scheme}://ann:a%2Fb%40@localhost/0")
        made_of = client.connection_pool.connection_kwargs
        assert (made_of["username"], made_of["password"]) == ("ann", "a/b@")


def test_no_password_of_several_is_told() -> None:
    url = f"sentinel://:{SECRET}1@h1;sentinel://:{SECRET}%2F@h2"
    problem = explain(redis.ConnectionError(f"no {SECRET}1, no {SECRET}/, no {url}"), url)
    assert SECRET not in str(problem)


def test_only_sentinels_and_clusters_may_be_several() -> None:
    with pytest.raises(ConnectionProblem, match="joined by ';'") as refused:
        connect(f"redis://:{SECRET}@h1;redis://:{SECRET}@h2")
    assert SECRET not in str(refused.value)


def test_the_banner_of_beat_shows_no_password_of_several(url: str) -> None:
    app = make_app(url, {"redbeat_redis_url": f"sentinel://:{SECRET}1@h1;sentinel://:{SECRET}2@h2"})
    assert SECRET not in RedBeatScheduler(app, lazy=True).info
    app.close()


@pytest.mark.parametrize(
    "url", ["unix:///run/redis.sock", "valkey://localhost/1", "redis+socket:///x?virtual_host=1"]
)
def test_the_other_ways_to_write_an_address_are_taken(url: str) -> None:
    assert isinstance(connect(url), redis.Redis)


def test_a_wrong_password_is_explained_for_good(new_server: Callable[..., Server]) -> None:
    server = new_server(password="right")
    url = f"redis://:{SECRET}@127.0.0.1:{server.port}/0"
    with pytest.raises(redis.RedisError) as refused:
        connect(url).ping()
    problem = explain(refused.value, url)
    assert problem.permanent
    assert "refused the password" in str(problem)
    assert SECRET not in str(problem)


def test_a_server_that_is_away_is_explained_and_may_come_back() -> None:
    problem = explain(redis.ConnectionError(f"no route, {SECRET}"), f"redis://:{SECRET}@h/0")
    assert not problem.permanent
    assert "is it running" in str(problem)
    assert SECRET not in str(problem)


def test_nothing_is_sent_twice_by_itself(server: Server) -> None:
    client = connect(server.url())
    client.ping()
    assert client.connection_pool.connection_kwargs["retry"]._retries == 0


def test_a_retry_period_retries_as_with_celery_redbeat(server: Server) -> None:
    app = make_app(server.url(), {"redbeat_redis_options": {"retry_period": 30}})
    client = get_redis(app)
    assert isinstance(client, RetryingConnection)
    assert client.ping()
    assert client is app.redbeat_redis
    app.close()


def test_a_retry_period_ends() -> None:
    gone = RetryingConnection(0.01, connect("redis://127.0.0.1:1/0"))
    with pytest.raises(redis.ConnectionError):
        gone.ping()


@pytest.mark.parametrize("version", ["5.0.14", "6.0.16"])
def test_a_server_that_is_too_old_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(redis.Redis, "info", lambda self, *_: {"redis_version": version})
    with pytest.raises(SystemExit, match=f"has version {version}: the schedule needs 6.2"):
        RedBeatScheduler(make_app(url))


@pytest.mark.parametrize("version", ["6.2.0", "7.2.4", "10.0.0", "unstable", None])
def test_a_server_that_is_new_enough_or_does_not_say_is_taken(
    url: str, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    monkeypatch.setattr(redis.Redis, "info", lambda self, *_: {"redis_version": version})
    RedBeatScheduler(make_app(url)).close()
