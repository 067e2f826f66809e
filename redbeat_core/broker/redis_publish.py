"""Publishes to a Redis that is not the schedule's: many messages in one round trip.

The server's reply to its commands confirms each message. If the connection is lost before the
reply, the message may be in the queue or not: it counts as not published, and is published again
with the same task id. Only the publisher uses this.
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
    """One message to send.

    :ivar encoded: its commands, each a list of command and arguments.
    :ivar taken: the server has executed all of them.
    :ivar refusal: the server's error; empty: no error, or no reply.
    """

    encoded: list[list[bytes]]
    taken: bool = False
    refusal: str = ""

    @property
    def size(self) -> int:
        """Number of bytes."""
        return sum(len(arg) for command in self.encoded for arg in command)


def push(pool: Any, messages: Sequence[Commands]) -> tuple[list[Push], Exception | None]:
    """Send *messages* to the broker and wait for its replies.

    :param pool: the pool of connections to the broker's database.
    :returns: the result of each, and the error after which the further results are unknown, or
        None.
    """
    pushes = [Push([_bytes(command) for _, command in commands]) for commands in messages]
    client: Redis | None = None
    try:
        for portion in _in_portions(pushes):
            client = client or _client(pool)
            large = portion[0] if portion[0].size >= LARGE else None
            lost: Exception | None = None
            try:
                _send(client, portion)
                error = large.refusal if large else ""
            except (exceptions.ConnectionError, OSError) as exc:
                if large is None or not may_be_for_size(exc):
                    raise
                lost = exc
                error = error_text(exc)
            if large and error:
                # A server closes the connection after a command that is too large, with or
                # without an error reply.
                _end(client)
                client = _client(pool)
                large.refusal = refusal(client, large.size, error, lost=lost is not None)
                if lost and not large.refusal:
                    raise lost
    except Exception as exc:
        # Any Exception, since the connection's own library may raise its own errors.
        _end(client)
        return pushes, exc
    if client is not None:
        client.close()
    return pushes, None


def _client(pool: Any) -> Redis:
    return Redis(connection_pool=pool, single_connection_client=True)


def _send(client: Any, portion: Sequence[Push]) -> None:
    connection = client.connection
    connection.send_packed_command(
        connection.pack_commands([command for item in portion for command in item.encoded])
    )
    for item in portion:
        for _ in item.encoded:
            try:
                connection.read_response()
            except exceptions.ReadOnlyError:
                # The server was the primary: the address may lead to another server now.
                raise
            except exceptions.ResponseError as exc:
                item.refusal = item.refusal or str(exc)
        item.taken = not item.refusal


def _in_portions(pushes: Sequence[Push]) -> Iterator[list[Push]]:
    """Group small messages; each large one is alone, so that its failure affects no other."""
    portion: list[Push] = []
    size = 0
    for item in pushes:
        if portion and size + item.size >= LARGE:
            yield portion
            portion = []
            size = 0
        portion.append(item)
        size += item.size
    if portion:
        yield portion


def _end(client: Any) -> None:
    """Close a connection on which replies may still arrive."""
    if client is not None and client.connection is not None:
        client.connection.disconnect()
        client.close()


def _bytes(command: Sequence[str]) -> list[bytes]:
    return [arg.encode("utf-8", "surrogateescape") for arg in command]
