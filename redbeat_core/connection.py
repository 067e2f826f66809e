"""From the settings to a Redis client: standalone, TLS, a socket, Sentinel, Cluster.

Text comes back as ``str``; bytes that are no UTF-8 come as lone surrogates, so that one
unreadable value cannot fail the reading of its neighbours.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis
from celery import Celery
from celery.app import app_or_default
from celery.utils.log import get_logger
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from .config import RedBeatConfig, ensure_conf, redact
from .keys import hash_tag

logger = get_logger("celery.beat")

#: The attribute of the app that keeps its client.
REDBEAT_REDIS_KEY = "redbeat_redis"

#: Options that are ours and celery-redbeat's, never the Redis client's.
INTERNAL_OPTIONS = (
    "retry_period",
    "cluster",
    "sentinels",
    "service_name",
    "sentinel_kwargs",
    "startup_nodes",
)
_TEXT = {"decode_responses": True, "encoding_errors": "surrogateescape"}
#: Seconds; a server that does not answer must not hold a tick for longer.
_TIMEOUTS = {"socket_connect_timeout": 5.0, "socket_timeout": 10.0, "health_check_interval": 15}

#: What a Redis that is away, restarting or failing over raises.
UNREACHABLE: tuple[type[Exception], ...] = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.BusyLoadingError,
    exceptions.ReadOnlyError,
    MasterNotFoundError,
    OSError,
)
#: The same, and whatever else a server answers in place of a result.
TROUBLE: tuple[type[Exception], ...] = (*UNREACHABLE, exceptions.RedisError)


class ConnectionProblem(Exception):
    """Redis cannot be used; the message says what is wrong and what to do.

    :ivar permanent: retrying cannot help: the configuration is wrong.
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


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
            wait = min(wait * 2, self.RETRY_MAX_WAIT)


def safe_url(url: str) -> str:
    """*url* without its password (or other secrets in its query)."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        user, colon, _ = parts.netloc.rpartition("@")[0].partition(":")
        login = f"{user}:***@" if colon else (f"{user}@" if user else "")
        query = re.sub(r"(?i)((?:password|secret|token)[^=&]*=)[^&]*", r"\1***", parts.query)
        return urlunsplit((parts.scheme, login + host, parts.path, query, ""))
    except ValueError:
        return re.sub(r"//[^/]*@", "//***@", url)


def get_redis(app: Celery | None = None) -> Any:
    """The app's client for the schedule, kept as ``app.redbeat_redis``.

    With ``retry_period`` in the options it is a :class:`RetryingConnection`, as with
    celery-redbeat; this package's own code uses :func:`raw_client` and does its own waiting.
    """
    app = app_or_default(app)
    client = getattr(app, REDBEAT_REDIS_KEY, None)
    if client is None:
        config = ensure_conf(app)
        client = connect(
            config.redis_url, options=_client_options(config), use_ssl=config.redis_use_ssl
        )
        retry_period = config.redbeat_redis_options.get("retry_period")
        if retry_period is not None:
            client = RetryingConnection(retry_period, client)
        setattr(app, REDBEAT_REDIS_KEY, client)
    return client


def raw_client(client: Any) -> Any:
    """The Redis client inside a :class:`RetryingConnection`, or the client itself."""
    return client.wrapped_connection if isinstance(client, RetryingConnection) else client


def _client_options(config: RedBeatConfig) -> dict[str, Any]:
    options = config.redbeat_redis_options
    if config.is_key_in_conf("redbeat_redis_options"):
        return options
    # Options of the broker's transport are kombu's; only what names the servers is shared.
    return {key: value for key, value in options.items() if key in INTERNAL_OPTIONS}


def connect(url: str, *, options: dict[str, Any] | None = None, use_ssl: Any = None) -> Any:
    """A client for *url*; nothing is sent yet.

    :param options: ``redbeat_redis_options``.
    :param use_ssl: ``redbeat_redis_use_ssl``.
    :raises ConnectionProblem: the URL or an option is none that redis-py takes.
    """
    options = dict(options or {})
    own = {key: options.pop(key) for key in INTERNAL_OPTIONS if key in options}
    tls = dict(use_ssl) if isinstance(use_ssl, dict) else {}
    scheme = url.partition("://")[0]
    settings = {**_TIMEOUTS, **options, **_TEXT}
    try:
        _check_database(url)
        if scheme in ("redis-sentinel", "sentinel"):
            return _sentinel(url, own, settings, use_ssl)
        if scheme in ("redis-cluster", "rediss-cluster") or own.get("cluster"):
            return _cluster(url, own, settings, tls)
        if scheme in ("rediss", "valkeys"):
            settings = {"ssl_cert_reqs": ssl.CERT_REQUIRED, **tls, **settings}
        # No silent repeats: a script whose answer was lost may have been executed. Whoever calls
        # knows whether repeating is safe.
        settings.setdefault("retry", Retry(NoBackoff(), 0))
        return redis.Redis.from_url(_plain_url(url), **settings)
    except (ValueError, TypeError, AttributeError, exceptions.RedisError) as exc:
        raise explain(exc, url) from exc


def _check_database(url: str) -> None:
    """Refuse what redis-py would silently take for database 0."""
    parts = urlsplit(url)
    database = parts.path.strip("/")
    is_socket = "unix" in parts.scheme or "socket" in parts.scheme
    if database and not database.isdigit() and not is_socket:
        raise ConnectionProblem(
            f"{safe_url(url)} names the database {database!r}: it must be a number, as in "
            "redis://localhost:6379/0",
            permanent=True,
        )


def _plain_url(url: str) -> str:
    """*url* with a scheme that redis-py knows."""
    scheme, _, rest = url.partition("://")
    known = {"valkey": "redis", "valkeys": "rediss", "redis+socket": "unix"}.get(scheme, scheme)
    if scheme == "redis+socket":
        rest = rest.replace("virtual_host=", "db=")
    return f"{known}://{rest}"


def _sentinel(url: str, own: dict[str, Any], settings: dict[str, Any], use_ssl: Any) -> Any:
    parts = urlsplit(url.split(";")[0])
    nodes = own.get("sentinels")
    if not nodes:
        hosts = (urlsplit(part) for part in url.split(";"))
        nodes = [(host.hostname or "localhost", host.port or 26379) for host in hosts]
    if parts.password and "password" not in settings:
        settings["password"] = parts.password
    if parts.path.strip("/").isdigit():
        settings.setdefault("db", int(parts.path.strip("/")))
    if isinstance(use_ssl, dict):
        settings |= {"ssl": True, **use_ssl}
    nodes = [tuple(node) for node in nodes]
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        nodes, sentinel_kwargs=own.get("sentinel_kwargs"), **settings
    )
    return sentinel.master_for(own.get("service_name", "master"))


def _cluster(url: str, own: dict[str, Any], settings: dict[str, Any], tls: dict[str, Any]) -> Any:
    from redis.cluster import ClusterNode, RedisCluster

    make_node: Any = ClusterNode

    parts = urlsplit(url)
    nodes = [
        make_node(node["host"], int(node["port"])) if isinstance(node, dict) else node
        for node in own.get("startup_nodes") or ()
    ] or [make_node(parts.hostname or "localhost", parts.port or 6379)]
    if parts.password:
        settings.setdefault("password", parts.password)
    if parts.username:
        settings.setdefault("username", parts.username)
    if parts.scheme.startswith("rediss"):
        settings |= {"ssl": True, **tls}
    return RedisCluster(startup_nodes=nodes, **settings)


def is_cluster(client: Any) -> bool:
    """Whether *client* is one that spreads its commands over the nodes of a Cluster."""
    return isinstance(client, redis.cluster.RedisCluster)


def one_server(client: Any) -> Any:
    """A client for the commands that ask about a server and not about keys."""
    return client.get_redis_connection(client.get_default_node()) if is_cluster(client) else client


def explain(exc: BaseException, url: str) -> ConnectionProblem:
    """Say what *exc* means for somebody who gave *url*."""
    where = safe_url(url)
    text = _without_secrets(str(exc), url)
    lower = text.lower()
    if isinstance(exc, ConnectionProblem):
        return exc
    if "invalid username-password" in lower or "wrongpass" in lower or "invalid password" in lower:
        return ConnectionProblem(
            f"Redis at {where} refused the password (or user name): check both in the URL, "
            "redis://user:password@host:port/db",
            permanent=True,
        )
    if isinstance(exc, exceptions.AuthenticationError) or "noauth" in lower:
        return ConnectionProblem(
            f"Redis at {where} wants a password: put it in the URL, redis://:password@host:port/db",
            permanent=True,
        )
    if "db index is out of range" in lower or "invalid db index" in lower:
        return ConnectionProblem(
            f"Redis at {where} has no database of that number: use one from 0 to 15 "
            "(or what `databases` in its configuration says)",
            permanent=True,
        )
    if "select is not allowed in cluster" in lower:
        return ConnectionProblem(
            f"Redis at {where} is a Cluster, which has only database 0: use /0 in the URL",
            permanent=True,
        )
    if "noperm" in lower or isinstance(exc, exceptions.NoPermissionError):
        return ConnectionProblem(
            f"the user of {where} may not do this: {text}. Grant it in the server's ACL",
            permanent=True,
        )
    if isinstance(exc, exceptions.BusyLoadingError):
        return ConnectionProblem(f"Redis at {where} is loading its data: wait a little")
    if isinstance(exc, exceptions.ReadOnlyError):
        return ConnectionProblem(f"Redis at {where} is a read-only replica: use the primary's URL")
    if isinstance(exc, MasterNotFoundError):
        return ConnectionProblem(
            f"no Sentinel at {where} knows the primary: check `sentinels` and `service_name` in "
            "redbeat_redis_options"
        )
    if "certificate" in lower or "ssl" in lower or "wrong version number" in lower:
        return ConnectionProblem(
            f"TLS with Redis at {where} failed: {text}. Check the scheme (rediss://) and "
            "redbeat_redis_use_ssl"
        )
    if isinstance(exc, exceptions.TimeoutError | TimeoutError):
        return ConnectionProblem(
            f"Redis at {where} did not answer in time: is the address right, is the network open"
            + (", does that port speak TLS?" if url.startswith(("rediss", "valkeys")) else "?")
        )
    if isinstance(exc, exceptions.ConnectionError | OSError):
        return ConnectionProblem(
            f"Redis at {where} cannot be reached ({text}): is it running, is the address right?"
        )
    if isinstance(exc, ValueError | TypeError | AttributeError):
        return ConnectionProblem(
            f"{where} cannot be used: {text}. Check the address, and redbeat_redis_options",
            permanent=True,
        )
    return ConnectionProblem(f"Redis at {where} answered: {text}")


def _without_secrets(text: str, url: str) -> str:
    text = text.replace(url, safe_url(url))
    try:
        password = urlsplit(url).password
    except ValueError:
        password = None
    return text.replace(password, "***") if password else text


def check_cluster(client: Any, prefix: str, url: str) -> None:
    """Refuse a Cluster when *prefix* does not put all keys in one slot.

    :raises ConnectionProblem: it is a Cluster and the prefix has no hash tag.
    """
    if hash_tag(prefix) is not None:
        return
    if not is_cluster(client):
        info = client.info("server")
        if info.get("redis_mode") != "cluster" and info.get("server_mode") != "cluster":
            return
    raise ConnectionProblem(
        f"Redis at {safe_url(url)} is a Cluster: the schedule's keys must share a slot. Set "
        f"redbeat_key_prefix to one with a hash tag, for example '{{{prefix.rstrip(':')}}}:'",
        permanent=True,
    )


def check_eviction(client: Any, action: str, url: str) -> None:
    """Act on a server whose ``maxmemory-policy`` lets it evict the schedule's keys.

    :param action: ``redbeat_key_expiry_check``.
    :raises ConnectionProblem: the action is ``raise`` and the policy evicts or is hidden.
    """
    if action == "ignore":
        return
    client = one_server(client)
    try:
        policy = str(client.config_get("maxmemory-policy").get("maxmemory-policy") or "")
    except exceptions.ResponseError:
        policy = str(client.info("memory").get("maxmemory_policy") or "")
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


__all__ = [
    "REDBEAT_REDIS_KEY",
    "TROUBLE",
    "UNREACHABLE",
    "ConnectionProblem",
    "RetryingConnection",
    "check_cluster",
    "check_eviction",
    "connect",
    "explain",
    "get_redis",
    "raw_client",
    "redact",
    "safe_url",
]
