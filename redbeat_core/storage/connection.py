"""From the settings to a Redis client: standalone, TLS, a socket, Sentinel, Cluster.

Text comes back as ``str``; bytes that are no UTF-8 come as lone surrogates, so that one
unreadable value cannot fail the reading of its neighbours.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import redis
from celery import Celery
from celery.app import app_or_default
from celery.utils.log import get_logger
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from redbeat_core.backoff import next_wait
from redbeat_core.settings.config import RedBeatConfig, ensure_conf, redact
from redbeat_core.settings.keys import hash_tag
from redbeat_core.settings.redis_urls import (
    CLUSTER,
    SENTINEL,
    database_of,
    fault_of,
    login_of,
    nodes_of,
    plain_url,
    safe_url,
)

from .errors import (
    TROUBLE,
    UNREACHABLE,
    ConnectionProblem,
    bad_address,
    explain,
)

logger = get_logger("celery.beat")

#: The attribute of the app that keeps its client.
REDBEAT_REDIS_KEY = "redbeat_redis"
_OURS = "redbeat_core_redis"

#: Options that are ours and celery-redbeat's, never the Redis client's; ``master_name`` is what
#: kombu calls the ``service_name``.
INTERNAL_OPTIONS = (
    "retry_period",
    "cluster",
    "sentinels",
    "service_name",
    "master_name",
    "sentinel_kwargs",
    "startup_nodes",
)
#: What else is taken from the broker's transport options for a Sentinel: how to log in, which
#: database, how to treat the connection. All others there are kombu's own, and there are many.
_SHARED_WITH_SENTINEL = (
    "db",
    "username",
    "password",
    "credential_provider",
    "client_name",
    "protocol",
    "socket_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_keepalive_options",
    "health_check_interval",
    "min_other_sentinels",
    "force_master_ip",
)
#: And what is not taken for a Cluster, whose client leaves out by itself what it does not know:
#: the size of kombu's pool.
_NOT_FOR_CLUSTER = ("max_connections",)
_TEXT = {"decode_responses": True, "encoding_errors": "surrogateescape"}
#: The first version that has all that is asked of it: LPOP with a count, ranges of streams that
#: leave their first out.
OLDEST = (6, 2)
#: Seconds; a server that does not answer must not hold a tick for longer.
_TIMEOUTS = {"socket_connect_timeout": 5.0, "socket_timeout": 5.0, "health_check_interval": 15}


class RetryingConnection:
    """A client whose methods are retried for *retry_period* seconds (-1: without end) while
    Redis cannot be reached, with waits that double up to 30 s.
    """

    RETRY_MAX_WAIT = 30

    def __init__(self, retry_period: float, wrapped_connection: Any) -> None:
        self.retry_period = retry_period
        self.wrapped_connection = wrapped_connection

    def __getattr__(self, item: str) -> Any:
        method = getattr(self.wrapped_connection, item)
        if not callable(method):
            return method

        def retrier(*args: Any, **kwargs: Any) -> Any:
            return self._retry(method, args, kwargs)

        return retrier

    def _retry(self, method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        started = time.monotonic()
        wait = 1.0
        while True:
            try:
                return method(*args, **kwargs)
            except UNREACHABLE:
                elapsed = time.monotonic() - started
                if 0 <= self.retry_period <= elapsed + wait:
                    raise
            logger.warning("beat: Retrying Redis connection in %s seconds...", wait)
            time.sleep(wait)
            wait = next_wait(wait, 1.0, self.RETRY_MAX_WAIT)


def get_redis(app: Celery | None = None) -> Any:
    """The app's client for the schedule, kept as ``app.redbeat_redis``.

    Where code of the app has used celery-redbeat before, its client keeps that name, and ours has
    another: it must take bytes that are no UTF-8.

    With ``retry_period`` in the options it is a :class:`RetryingConnection`, as with
    celery-redbeat; this package's own code uses :func:`raw_client` and does its own waiting.
    """
    app = app_or_default(app)
    for name in (REDBEAT_REDIS_KEY, _OURS):
        client = getattr(app, name, None)
        if _takes_any_bytes(client):
            break
    else:
        config = ensure_conf(app)
        client = connect(
            config.redis_url, options=_client_options(config), use_ssl=config.redis_use_ssl
        )
        retry_period = config.redbeat_redis_options.get("retry_period")
        if retry_period is not None:
            client = RetryingConnection(retry_period, client)
        taken = getattr(app, REDBEAT_REDIS_KEY, None) is not None
        setattr(app, _OURS if taken else REDBEAT_REDIS_KEY, client)
    return client


def _takes_any_bytes(client: Any) -> bool:
    try:
        return bool(raw_client(client).get_encoder().encoding_errors == "surrogateescape")
    except AttributeError:
        return False


def raw_client(client: Any) -> Any:
    """The Redis client inside a :class:`RetryingConnection`, or the client itself."""
    return client.wrapped_connection if isinstance(client, RetryingConnection) else client


def _client_options(config: RedBeatConfig) -> dict[str, Any]:
    """The options for the client: those addressed to it, or what of the broker's it shares."""
    options = config.redbeat_redis_options
    if config.is_key_in_conf("redbeat_redis_options"):
        return options
    if config.redis_url.startswith(CLUSTER) or options.get("cluster"):
        shared = {key: value for key, value in options.items() if key not in _NOT_FOR_CLUSTER}
    else:
        names = set(INTERNAL_OPTIONS)
        if config.redis_url.startswith(SENTINEL):
            names |= set(_SHARED_WITH_SENTINEL)
        shared = {key: value for key, value in options.items() if key in names}
    left_out = ", ".join(sorted(options.keys() - shared.keys()))
    if left_out:
        logger.debug("beat: Not taken from broker_transport_options: %s", left_out)
    return shared


def connect(url: str, *, options: dict[str, Any] | None = None, use_ssl: Any = None) -> Any:
    """A client for *url*; nothing is sent yet.

    :param options: ``redbeat_redis_options``.
    :param use_ssl: ``redbeat_redis_use_ssl``.
    :raises ConnectionProblem: the URL or an option is none that redis-py takes.
    """
    options = dict(options or {})
    own = {key: options.pop(key) for key in INTERNAL_OPTIONS if key in options}
    tls = {"ssl": True, **use_ssl} if isinstance(use_ssl, dict) else {}
    settings = {**_TIMEOUTS, **options, **_TEXT}
    # No silent repeats: a script whose answer was lost may have been executed. Whoever calls
    # knows whether repeating is safe.
    once = Retry(NoBackoff(), 0)
    if fault_of(url):
        raise bad_address(url)
    try:
        if url.startswith(SENTINEL):
            return _sentinel(url, own, {"retry": once, **settings, **tls})
        if url.startswith(CLUSTER) or own.get("cluster"):
            return _cluster(url, own, settings, tls)
        if url.startswith(("rediss://", "valkeys://")):
            tls.pop("ssl", None)
            settings = {"ssl_cert_reqs": ssl.CERT_REQUIRED, **tls, **settings}
        return redis.Redis.from_url(plain_url(url), **{"retry": once, **settings})
    except (ValueError, TypeError, AttributeError, exceptions.RedisError) as exc:
        raise explain(exc, url) from exc


def _sentinel(url: str, own: dict[str, Any], settings: dict[str, Any]) -> Any:
    nodes = own.get("sentinels") or nodes_of(url, 26379)
    _login(url, settings)
    database = database_of(url)
    if database is not None:
        settings.setdefault("db", database)
    # A Sentinel that hangs must not hold us either, whatever else is said about how to reach it.
    patience = {key: value for key, value in settings.items() if key.startswith("socket_")}
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        [tuple(node) for node in nodes],
        sentinel_kwargs={**patience, **(own.get("sentinel_kwargs") or {})},
        **settings,
    )
    return sentinel.master_for(own.get("service_name") or own.get("master_name") or "master")


def _cluster(url: str, own: dict[str, Any], settings: dict[str, Any], tls: dict[str, Any]) -> Any:
    from redis.cluster import ClusterNode, RedisCluster

    make_node: Any = ClusterNode

    nodes = [
        make_node(node["host"], int(node["port"])) if isinstance(node, dict) else node
        for node in own.get("startup_nodes") or ()
    ] or [make_node(*node) for node in nodes_of(url, 6379)]
    _login(url, settings)
    if url.startswith(("rediss", "valkeys")):
        settings |= {**tls, "ssl": True}
    return RedisCluster(startup_nodes=nodes, **settings)


def _login(url: str, settings: dict[str, Any]) -> None:
    """Put the login in *url* into *settings*, where these have none."""
    user, password = login_of(url)
    if password and not (settings.get("password") or settings.get("credential_provider")):
        settings["password"] = password
        if user:
            settings.setdefault("username", user)


def is_cluster(client: Any) -> bool:
    """Whether *client* is one that spreads its commands over the nodes of a Cluster."""
    return isinstance(client, redis.cluster.RedisCluster)


def one_server(client: Any) -> Any:
    """A client for the commands that ask about a server and not about keys."""
    return client.get_redis_connection(client.get_default_node()) if is_cluster(client) else client


def check_cluster(client: Any, prefix: str, url: str) -> None:
    """Refuse a Cluster when *prefix* does not put all keys in one slot. A server that does not say
    what it is counts as none.

    :raises ConnectionProblem: it is a Cluster and the prefix has no hash tag.
    """
    if hash_tag(prefix) is not None:
        return
    if not is_cluster(client):
        info = _server_info(client)
        if info.get("redis_mode") != "cluster" and info.get("server_mode") != "cluster":
            return
    raise ConnectionProblem(
        f"Redis at {safe_url(url)} is a Cluster: the schedule's keys must share a slot. Set "
        f"redbeat_key_prefix to one with a hash tag, for example '{{{prefix.rstrip(':')}}}:'",
        permanent=True,
    )


def check_version(client: Any, url: str) -> None:
    """Refuse a server that is too old. One that does not say its version is taken.

    :raises ConnectionProblem: it is older than :data:`OLDEST`.
    """
    version = str(_server_info(one_server(client)).get("redis_version") or "")
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is not None and (int(found[1]), int(found[2])) < OLDEST:
        raise ConnectionProblem(
            f"Redis at {safe_url(url)} has version {version}: the schedule needs "
            f"{'.'.join(map(str, OLDEST))} or newer (or any Valkey)",
            permanent=True,
        )


def check_eviction(client: Any, action: str, url: str) -> None:
    """Act on a server whose ``maxmemory-policy`` lets it evict the schedule's keys.

    :param action: ``redbeat_key_expiry_check``.
    :raises ConnectionProblem: the action is ``raise`` and the policy evicts or is hidden.
    """
    if action == "ignore":
        return
    policy = _eviction_policy(one_server(client))
    if not policy and action != "raise":
        return
    # Only keys with a TTL go under volatile-*: the lease alone, which is renewed anyway.
    if policy and not policy.startswith("allkeys-"):
        return
    message = (
        f"Redis at {safe_url(url)} has maxmemory-policy {policy or 'hidden'}: under memory "
        "pressure it may delete entries of the schedule. Set it to noeviction, or set "
        "redbeat_key_expiry_check to 'ignore'"
    )
    if action == "raise":
        raise ConnectionProblem(message, permanent=True)
    (logger.warning if action == "warn" else logger.error)("beat: %s", message)


def _server_info(client: Any) -> dict[str, Any]:
    """What the server says of itself; empty when it does not."""
    with suppress(exceptions.ResponseError):
        info: dict[str, Any] = client.info("server")
        return info
    return {}


def _eviction_policy(client: Any) -> str:
    """The server's ``maxmemory-policy``; empty when it does not say: its user may not ask, or it
    is a managed one."""
    with suppress(exceptions.ResponseError):
        return str(client.config_get("maxmemory-policy").get("maxmemory-policy") or "")
    with suppress(exceptions.ResponseError):
        return str(client.info("memory").get("maxmemory_policy") or "")
    return ""


__all__ = [
    "REDBEAT_REDIS_KEY",
    "TROUBLE",
    "UNREACHABLE",
    "ConnectionProblem",
    "RetryingConnection",
    "check_cluster",
    "check_eviction",
    "check_version",
    "connect",
    "explain",
    "get_redis",
    "raw_client",
    "redact",
    "safe_url",
]


#: redis-py looks at its options when it makes the first connection.
_TROUBLE_AT_START: tuple[type[Exception], ...] = (*TROUBLE, TypeError, ValueError)


def check_server(client: Any, key_prefix: str, key_expiry_check: str, url: str) -> None:
    """Refuse a server that can never do; one that is only away is waited for.

    :raises ConnectionProblem: the reason.
    """
    try:
        client.ping()
        check_version(client, url)
        check_cluster(client, key_prefix, url)
        check_eviction(client, key_expiry_check, url)
    except _TROUBLE_AT_START as exc:
        problem = explain(exc, url)
        if problem.permanent:
            raise problem from None
