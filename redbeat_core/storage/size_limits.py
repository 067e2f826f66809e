"""Messages that are larger than a Redis server takes in one command.

Such a server ends the connection, with a word or without, as it does for many other reasons.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from redis import exceptions

#: Bytes from which on a lost connection may be for the size. No server can be told to take less
#: than twice as much.
LARGE = 512 * 1024
#: The settings that say how much a server takes.
_SETTINGS = ("proto-max-bulk-len", "client-query-buffer-limit")
#: What all clients may take together: the largest loses its connection. Off by default.
_FOR_ALL = "maxmemory-clients"


def may_be_for_size(exc: Exception) -> bool:
    """Whether a server that was asked for too much may have ended the connection with *exc*."""
    if isinstance(exc, exceptions.ResponseError):
        return "Protocol error" in str(exc)
    if isinstance(exc, TimeoutError | exceptions.TimeoutError):
        return False
    return isinstance(exc, OSError | exceptions.ConnectionError)


def refusal(client: Any, size: int, said: str, *, lost: bool) -> str:
    """Why a server that answers again took no message of *size* bytes.

    :param said: what it said, or how the connection ended.
    :param lost: the connection ended without a word.
    :returns: empty where the connection was lost, and not for the size: the server takes more.
    :raises RedisError: it does not answer.
    """
    client.ping()
    known = [int(text) for name in _SETTINGS if (text := _setting(client, name)).isdigit()]
    if known and size >= min(known) - LARGE:
        return f"the message has {size:,} bytes, the server takes {min(known):,}"
    if lost and len(known) == len(_SETTINGS) and _setting(client, _FOR_ALL) in ("", "0"):
        return ""
    return f"the server did not take the message, which has {size:,} bytes: {said}"


def _setting(client: Any, name: str) -> str:
    """Empty where the server does not have it, or does not tell: a managed one may not."""
    with suppress(exceptions.ResponseError):
        return str(client.config_get(name).get(name, ""))
    return ""
