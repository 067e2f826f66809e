"""Publishes to a Redis that is not the schedule's: many messages in one round trip.

The server's reply to its commands confirms each message. If the connection is lost before the
reply, the message may be in the queue or not: it counts as not published, and is published again
with the same task id. Only the publisher uses this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from redis import Redis, exceptions

from redbeat_core.storage.errors import error_text
from redbeat_core.storage.size_limits import LARGE, may_be_for_size, refusal

from .delivery import Confirmation, PublishResult, whole_channel
from .redis_capture import CapturingChannel, Commands

SILENT = "the broker does not answer"


class RedisLink:
    """A connection to a Redis broker: the commit executes its messages, or they are pushed."""

    captures = True

    def __init__(self, producer: Any, errors: tuple[type[BaseException], ...]) -> None:
        self._producer = producer
        self._errors = errors
        self.in_commit = False

    def begin_message(
        self, commands: Commands, receipts: list[Confirmation], *, alone: bool
    ) -> None:
        channel = self._producer.channel
        if isinstance(channel, CapturingChannel):
            channel.commands = commands

    def end_message(self, *, alone: bool) -> None:
        """The message is captured."""

    def confirm(
        self, results: Sequence[PublishResult], *, push: bool
    ) -> tuple[list[PublishResult], str]:
        if self.in_commit:
            return list(results), ""
        captured = [result.commands for result in results if result.commands and not result.error]
        channel = self._producer.channel
        pushes: list[Push] = []
        lost = ""
        if push and isinstance(channel, CapturingChannel):
            pool: Any = channel.pool  # type: ignore[attr-defined]
            pushes, problem = push_all(pool, captured)
            if problem is not None:
                lost = f"the connection to the broker was lost: {problem}"
        return with_replies(results, pushes, lost or "it was not sent"), lost

    def is_whole(self) -> bool:
        channel = whole_channel(self._producer)
        # After an error kombu may put in a channel that does not capture.
        return channel is not None and (not self.in_commit or isinstance(channel, CapturingChannel))

    def is_blocked(self) -> bool:
        return False

    def error(self) -> str:
        if not self.is_whole():
            return "the connection to the broker was lost"
        if self.in_commit:
            # The schedule's own connection shows whether the server answers.
            return ""
        trouble = ping_error(self._producer.channel)
        if trouble and trouble != SILENT:
            # The first PING may only have revealed that the server closed an idle connection.
            trouble = ping_error(self._producer.channel)
        return trouble

    def is_broker_error(self, exc: BaseException | None) -> bool:
        while exc is not None:
            if isinstance(exc, exceptions.TimeoutError | exceptions.ReadOnlyError):
                return True
            if isinstance(exc, self._errors):
                return bool(ping_error(self._producer.channel))
            exc = exc.__cause__ or exc.__context__
        return False

    def begin_close(self, reason: str) -> None:
        """Nothing to prepare."""


def ping_error(channel: Any) -> str:
    """Return why the Redis broker of *channel* does not answer a PING; empty: it answers."""
    if not isinstance(channel, CapturingChannel):
        return "the channel is no Redis channel"
    try:
        channel.client.ping()  # type: ignore[attr-defined]
    except exceptions.TimeoutError:
        return SILENT
    except Exception as exc:
        return f"the broker cannot be asked: {exc}"
    return ""


def with_replies(
    results: Sequence[PublishResult], pushes: Sequence[Push], lost: str
) -> list[PublishResult]:
    """The *results* of captured messages after they were pushed.

    :param pushes: one for each captured message, as far as they were sent.
    :param lost: the error of those without a reply.
    """
    replies = iter(pushes)
    confirmed = []
    for result in results:
        if result.commands and not result.error:
            reply = next(replies, None)
            taken, refusal_text = (reply.taken, reply.refusal) if reply else (False, "")
            error = "" if taken else refusal_text or lost
            down = not (taken or refusal_text)
            result = replace(result, commands=[], error=error, broker_down=down)
        confirmed.append(result)
    return confirmed


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


def push_all(pool: Any, messages: Sequence[Commands]) -> tuple[list[Push], Exception | None]:
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
