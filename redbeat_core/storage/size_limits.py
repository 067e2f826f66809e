"""Detects messages that are larger than a Redis server accepts in one command.

The server then closes the connection, with or without an error reply, as for many other reasons.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from redis import exceptions

#: Bytes from which a lost connection may be due to the size: the lowest limit that a server can be
#: configured with is twice as much.
LARGE = 512 * 1024
#: The server settings that limit the size of a command.
_SETTINGS = ("proto-max-bulk-len", "client-query-buffer-limit")
#: The limit for all clients together: the server disconnects the largest. Off by default.
_FOR_ALL = "maxmemory-clients"


def may_be_for_size(exc: Exception) -> bool:
    """Whether *exc* may be due to a command that was too large for the server."""
    if isinstance(exc, exceptions.ResponseError):
        return "Protocol error" in str(exc)
    if isinstance(exc, TimeoutError | exceptions.TimeoutError):
        return False
    return isinstance(exc, OSError | exceptions.ConnectionError)


def refusal(client: Any, size: int, error: str, *, lost: bool) -> str:
    """Return the reason why a server, which answers again, refused a message of *size* bytes.

    :param error: its error reply, or the error with which the connection ended.
    :param lost: the connection ended without an error reply.
    :returns: empty if the connection was lost for another reason: the server accepts this size.
    :raises RedisError: the server does not answer.
    """
    if not lost and hasattr(client, "connection_pool"):
        # The server closes the connection after its error reply, and may not have done so yet.
        client.connection_pool.disconnect(inuse_connections=False)
    client.ping()
    limits = [int(text) for name in _SETTINGS if (text := _setting(client, name)).isdigit()]
    if limits and size >= min(limits) - LARGE:
        return f"the message has {size:,} bytes, the server takes {min(limits):,}"
    if lost and len(limits) == len(_SETTINGS) and _setting(client, _FOR_ALL) in ("", "0"):
        return ""
    return f"the server did not take the message, which has {size:,} bytes: {error}"


def _setting(client: Any, name: str) -> str:
    """Return a setting of the server; empty if it does not exist or a managed server hides it."""
    with suppress(exceptions.ResponseError):
        return str(client.config_get(name).get(name, ""))
    return ""
