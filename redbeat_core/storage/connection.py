"""Builds the Redis client from the settings: standalone, TLS, a socket, Sentinel, Cluster.

The client returns text as ``str``. It decodes bytes that are not UTF-8 as lone surrogates, so that
one unreadable value does not make a reply with other values fail.
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

#: The attribute of the app that holds its client.
REDBEAT_REDIS_KEY = "redbeat_redis"
#: The attribute that holds our client where celery-redbeat's client has that name.
_OWN_REDIS_KEY = "redbeat_core_redis"

#: Options of this project and of celery-redbeat, which the Redis client does not take;
#: ``master_name`` is kombu's name of ``service_name``.
INTERNAL_OPTIONS = (
    "retry_period",
    "cluster",
    "sentinels",
    "service_name",
    "master_name",
    "sentinel_kwargs",
    "startup_nodes",
)
#: Further broker transport options that a Sentinel connection uses: login, database, timeouts of
#: the connection. All other transport options are kombu's own, and there are many.
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
#: Broker transport options that a Cluster connection does not use: the size of kombu's pool. Its
#: client ignores by itself the options that it does not support.
_NOT_FOR_CLUSTER = ("max_connections",)
_TEXT = {"decode_responses": True, "encoding_errors": "surrogateescape"}
#: The oldest Redis version that has every command used here: LPOP with a count, XRANGE with an
#: exclusive start.
OLDEST = (6, 2)
#: Seconds; a server that does not answer must not block a tick for longer.
_TIMEOUTS = {"socket_connect_timeout": 5.0, "socket_timeout": 5.0, "health_check_interval": 15}


class RetryingConnection:
    """A client that retries each call for *retry_period* seconds (-1: without end) while Redis
    is unreachable, with waits that double up to 30 s.
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
    """Return the app's client for the schedule, created once and stored as ``app.redbeat_redis``.

    If celery-redbeat stored its client there before, that one stays, and ours is stored under
    another name: ours must decode bytes that are not UTF-8.

    With ``retry_period`` in the options the client is a :class:`RetryingConnection`, as with
    celery-redbeat. This package's own code uses :func:`raw_client` and its own retries.
    """
    app = app_or_default(app)
    for name in (REDBEAT_REDIS_KEY, _OWN_REDIS_KEY):
        client = getattr(app, name, None)
        if _decodes_any_bytes(client):
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
        setattr(app, _OWN_REDIS_KEY if taken else REDBEAT_REDIS_KEY, client)
    return client


def _decodes_any_bytes(client: Any) -> bool:
    try:
        return bool(raw_client(client).get_encoder().encoding_errors == "surrogateescape")
    except AttributeError:
        return False


def raw_client(client: Any) -> Any:
    """Return the Redis client inside a :class:`RetryingConnection`, or the client itself."""
    return client.wrapped_connection if isinstance(client, RetryingConnection) else client


def _client_options(config: RedBeatConfig) -> dict[str, Any]:
    """Return the options for the client: ``redbeat_redis_options`` if set, else those of the
    broker transport options that apply to it."""
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
        logger.debug("beat: Ignored for the schedule in broker_transport_options: %s", left_out)
    return shared


def connect(url: str, *, options: dict[str, Any] | None = None, use_ssl: Any = None) -> Any:
    """Return a client for *url*; it connects at its first command.

    :param options: ``redbeat_redis_options``.
    :param use_ssl: ``redbeat_redis_use_ssl``.
    :raises ConnectionProblem: redis-py refuses the URL or an option.
    """
    options = dict(options or {})
    own = {key: options.pop(key) for key in INTERNAL_OPTIONS if key in options}
    tls = {"ssl": True, **use_ssl} if isinstance(use_ssl, dict) else {}
    settings = {**_TIMEOUTS, **options, **_TEXT}
    # No automatic retry: a script whose reply was lost may have been executed. Only the caller
    # can decide whether a retry is safe.
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
    # A Sentinel that hangs must not block us either, whatever `sentinel_kwargs` says.
    timeouts = {key: value for key, value in settings.items() if key.startswith("socket_")}
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        [tuple(node) for node in nodes],
        sentinel_kwargs={**timeouts, **(own.get("sentinel_kwargs") or {})},
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
    """Copy the login of *url* into *settings*, unless these have a login."""
    user, password = login_of(url)
    if password and not (settings.get("password") or settings.get("credential_provider")):
        settings["password"] = password
        if user:
            settings.setdefault("username", user)


def is_cluster(client: Any) -> bool:
    """Whether *client* is a Cluster client, which routes each command to a node."""
    return isinstance(client, redis.cluster.RedisCluster)


def one_server(client: Any) -> Any:
    """Return a client for commands that concern a server and not keys (of a Cluster: one node)."""
    return client.get_redis_connection(client.get_default_node()) if is_cluster(client) else client


def check_cluster(client: Any, prefix: str, url: str) -> None:
    """Refuse a Cluster if *prefix* does not put all keys in one slot. A server that hides its mode
    counts as standalone.

    :raises ConnectionProblem: the server is a Cluster and the prefix has no hash tag.
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
    """Refuse a server that is too old; accept one that hides its version.

    :raises ConnectionProblem: the server is older than :data:`OLDEST`.
    """
    version = str(_server_info(one_server(client)).get("redis_version") or "")
    match = re.match(r"(\d+)\.(\d+)", version)
    if match is not None and (int(match[1]), int(match[2])) < OLDEST:
        raise ConnectionProblem(
            f"Redis at {safe_url(url)} has version {version}: the schedule needs "
            f"{'.'.join(map(str, OLDEST))} or newer (or any Valkey)",
            permanent=True,
        )


def check_eviction(client: Any, action: str, url: str) -> None:
    """Refuse a server whose ``maxmemory-policy`` lets it evict the schedule's keys, or log a
    warning.

    :param action: ``redbeat_key_expiry_check``.
    :raises ConnectionProblem: the action is ``raise`` and the policy evicts or is hidden.
    """
    if action == "ignore":
        return
    policy = _eviction_policy(one_server(client))
    if not policy and action != "raise":
        return
    # volatile-* evicts only keys with a TTL: that is only the lease, which is renewed anyway.
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
    """Return the server section of INFO; empty if the server refuses INFO."""
    with suppress(exceptions.ResponseError):
        info: dict[str, Any] = client.info("server")
        return info
    return {}


def _eviction_policy(client: Any) -> str:
    """Return the server's ``maxmemory-policy``; empty if it is hidden: the user has no permission,
    or the server is a managed one."""
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


#: TypeError, ValueError: redis-py checks its options only when it connects for the first time.
_TROUBLE_AT_START: tuple[type[Exception], ...] = (*TROUBLE, TypeError, ValueError)


def check_server(client: Any, key_prefix: str, key_expiry_check: str, url: str) -> None:
    """Refuse a server that can never work; accept one that is only unreachable at present.

    :raises ConnectionProblem: the permanent reason.
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
