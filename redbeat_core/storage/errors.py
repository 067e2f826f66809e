"""Explains the errors of a Redis client in sentences: the cause and the remedy."""

from __future__ import annotations

import re

from redis import exceptions
from redis.sentinel import MasterNotFoundError

from redbeat_core.settings.redis_urls import fault_of, safe_url, secrets_in

#: The errors raised while Redis is unreachable, restarting or failing over.
UNREACHABLE: tuple[type[Exception], ...] = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.BusyLoadingError,
    exceptions.ReadOnlyError,
    MasterNotFoundError,
    OSError,
)
#: The same, and every error reply of a server.
TROUBLE: tuple[type[Exception], ...] = (*UNREACHABLE, exceptions.RedisError)
#: Prefixes of the errors that a server returns to every client while it is in a certain state.
_PASSING = re.compile(
    r"-?(OOM|MISCONF|NOREPLICAS|BUSY|READONLY|NOSCRIPT|MASTERDOWN|CLUSTERDOWN|TRYAGAIN)\b"
    r"|.*(maxmemory|SCRIPT KILL)"
)


def is_passing(exc: Exception) -> bool:
    """Whether the state of the server caused *exc*, and not the command: the same command can
    succeed later."""
    passing = (*UNREACHABLE, exceptions.NoScriptError, exceptions.ClusterDownError)
    return isinstance(exc, passing) or _PASSING.match(str(exc)) is not None


def is_read_only(exc: Exception) -> bool:
    """Whether a replica raised *exc*: another server is the primary now."""
    # Redis 6.2 wraps the error if a script raises it.
    return isinstance(exc, exceptions.ReadOnlyError) or "READONLY" in str(exc)


class ConnectionProblem(Exception):
    """Redis cannot be used; the message states the cause and the remedy.

    :ivar permanent: a retry cannot help, since the configuration is wrong.
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


def explain(exc: BaseException, url: str) -> ConnectionProblem:
    """Return *exc*, raised by a client for *url*, as an error with cause and remedy."""
    where = safe_url(url)
    text = _without_secrets(str(exc), url)
    lower = text.lower()
    if isinstance(exc, ConnectionProblem):
        return exc
    if isinstance(exc, ValueError) and fault_of(url):
        # Its text may quote a part of the password.
        return bad_address(url)
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


def bad_address(url: str) -> ConnectionProblem:
    """Return the error for a *url* in which :func:`~.redis_urls.fault_of` finds a fault."""
    return ConnectionProblem(f"{safe_url(url)} cannot be used: {fault_of(url)}", permanent=True)


def _without_secrets(text: str, url: str) -> str:
    text = text.replace(url, safe_url(url))
    for secret in secrets_in(url):
        text = text.replace(secret, "***")
    return text


#: Most characters of an error's text: it may quote a whole message.
_TEXT_LIMIT = 1000


def error_text(error: BaseException) -> str:
    """Return the text of *error*, cut to a readable length; its type's name if it has none.

    Never raises, even if ``str(error)`` does: an application's own error class may fail there.
    """
    try:
        text = str(error) or repr(error)
    except Exception:
        text = ""
    text = text or type(error).__name__
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}... ({len(text)} characters)"
