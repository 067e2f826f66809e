"""Publishing to a Redis that is not the schedule's: many messages in one round trip.

Each message is confirmed by the server's own answer to it. What was not answered when the
connection was lost may be in the queue or not: it counts as not published, and is published again
with the same task id. Only the dispatcher uses this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis, exceptions

from redbeat_core.storage.errors import error_text
from redbeat_core.storage.size_limits import LARGE, may_be_for_size, refusal

from .redis_capture import Commands


@dataclass(slots=True)
class Push:
    """One message on its way.

    :ivar taken: the server has all of it.
    :ivar refusal: why the server does not take it; empty where that is not known.
    """

    words: list[list[bytes]]
    taken: bool = False
    refusal: str = ""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(len(word) for words in self.words for word in words)


def push(pool: Any, messages: Sequence[Commands]) -> tuple[list[Push], Exception | None]:
    """Give *messages* to the broker.

    :param pool: of connections to the broker's database.
    :returns: what came of each, and the error that kept the rest from being known, if any.
    """
    pushes = [Push([_bytes(words) for _, words in commands]) for commands in messages]
    client: Redis | None = None
    try:
        for together in _in_portions(pushes):
            client = client or _client(pool)
            large = together[0] if together[0].size >= LARGE else None
            lost: Exception | None = None
            try:
                _send(client, together)
                said = large.refusal if large else ""
            except (exceptions.ConnectionError, OSError) as exc:
                if large is None or not may_be_for_size(exc):
                    raise
                lost, said = exc, error_text(exc)
            if large and said:
                # Asked for too much, a server ends the connection, sometimes with a word.
                _end(client)
                client = _client(pool)
                large.refusal = refusal(client, large.size, said, lost=lost is not None)
                if lost and not large.refusal:
                    raise lost
    except Exception as exc:
        # As well what the connection's own library raises.
        _end(client)
        return pushes, exc
    if client is not None:
        client.close()
    return pushes, None


def _client(pool: Any) -> Redis:
    return Redis(connection_pool=pool, single_connection_client=True)


def _send(client: Any, together: Sequence[Push]) -> None:
    connection = client.connection
    connection.send_packed_command(
        connection.pack_commands([words for one in together for words in one.words])
    )
    for one in together:
        for _ in one.words:
            try:
                connection.read_response()
            except exceptions.ReadOnlyError:
                # It was the primary: the address may lead to another server now.
                raise
            except exceptions.ResponseError as exc:
                one.refusal = one.refusal or str(exc)
        one.taken = not one.refusal


def _in_portions(pushes: Sequence[Push]) -> Iterator[list[Push]]:
    """Small ones together, large ones alone: what becomes of these says nothing of the others."""
    portion: list[Push] = []
    size = 0
    for one in pushes:
        if portion and size + one.size >= LARGE:
            yield portion
            portion, size = [], 0
        portion.append(one)
        size += one.size
    if portion:
        yield portion


def _end(client: Any) -> None:
    """Let go of a connection on which answers may still come."""
    if client is not None and client.connection is not None:
        client.connection.disconnect()
        client.close()


def _bytes(words: Sequence[str]) -> list[bytes]:
    return [word.encode("utf-8", "surrogateescape") for word in words]
