"""A channel of kombu's Redis transport that captures the commands of messages and sends none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kombu.transport.redis import GlobalKeyPrefixMixin

#: The Redis commands of one message: (database, [command, argument, ...]).
Commands = list[tuple[int, Sequence[str]]]


class _Recorder(GlobalKeyPrefixMixin):  # type: ignore[misc, unused-ignore]
    """Replaces kombu's Redis client and pipeline while a message is put: it captures each command
    instead of sending it, with kombu's own key prefixing."""

    def __init__(self, commands: Commands, database: int, prefix: str) -> None:
        self.global_keyprefix = prefix
        self._commands = commands
        self._database = database

    def _capture(self, *args: Any) -> int:
        if self.global_keyprefix:
            prefixed: Callable[..., Any] = self._prefix_args
            args = tuple(prefixed(args))
        texts = [
            arg.decode("utf-8", "surrogateescape") if isinstance(arg, bytes) else str(arg)
            for arg in args
        ]
        for text in texts:
            if not text.isascii():
                # Raise for a lone surrogate, which no server accepts: only this message is
                # invalid, not the whole batch.
                text.encode("utf-8", "surrogateescape")
        self._commands.append((self._database, texts))
        return 1

    def lpush(self, key: str, *values: Any) -> int:
        return self._capture("LPUSH", key, *values)

    def pexpire(self, key: str, milliseconds: int) -> int:
        return self._capture("PEXPIRE", key, milliseconds)

    def publish(self, channel: str, message: Any) -> int:
        return self._capture("PUBLISH", channel, message)

    def pipeline(self, *args: Any, **kwargs: Any) -> _Recorder:
        return self

    def execute(self) -> list[Any]:
        return []

    def __enter__(self) -> _Recorder:
        return self

    def __exit__(self, *exc: object) -> None:
        return None


class NoQueueError(Exception):
    """No queue would get a message."""


class CapturingChannel:
    """A mixin for kombu's Redis channel: it captures messages and executes everything else.

    :ivar commands: the list that receives the commands; None: messages are sent.
    :ivar declared: the queues that :func:`declare_once` has declared, by their ids.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.commands: Commands | None = None
        self.declared: dict[int, Any] = {}
        self._putting = False
        super().__init__(*args, **kwargs)

    def basic_publish(self, message: Any, exchange: str, routing_key: str, **kwargs: Any) -> Any:
        """Capture the commands that put a message into its queues.

        :raises NoQueueError: no queue is bound, which kombu ignores silently.
        """
        before = len(self.commands or ())
        result = super().basic_publish(message, exchange, routing_key, **kwargs)  # type: ignore[misc]
        if self.commands is not None and len(self.commands) == before:
            self._forget_declared(exchange)
            raise NoQueueError(
                f"no queue gets the message: exchange {exchange!r}, routing key {routing_key!r}"
            )
        return result

    def _forget_declared(self, exchange: str) -> None:
        """Forget declared queues and bindings of *exchange*, so that the next attempt declares them
        again: the broker may have lost them."""
        self.declared.clear()
        self.connection.client.declared_entities.clear()  # type: ignore[attr-defined]
        state = self.state  # type: ignore[attr-defined]
        for queue, bound_to, key in list(state.bindings):
            if bound_to == exchange:
                state.binding_delete(queue, bound_to, key)

    def _put(self, *args: Any, **kwargs: Any) -> Any:
        return self._captured(super()._put, args, kwargs)  # type: ignore[misc]

    def _put_fanout(self, *args: Any, **kwargs: Any) -> Any:
        return self._captured(super()._put_fanout, args, kwargs)  # type: ignore[misc]

    def _captured(self, put: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        self._putting = True
        try:
            return put(*args, **kwargs)
        finally:
            self._putting = False

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        if self._putting and self.commands is not None:
            database = int(self.pool.connection_kwargs.get("db") or 0)  # type: ignore[attr-defined]
            prefix: str = self.global_keyprefix  # type: ignore[attr-defined]
            yield _Recorder(self.commands, database, prefix)
        else:
            with super().conn_or_acquire(client) as acquired:  # type: ignore[misc]
                yield acquired


def declare_once(producer: Any) -> None:
    """Make *producer* declare each queue only once.

    kombu does so too, but copies the queue for each message before it checks.
    """
    declared: dict[int, Any] = producer.channel.declared
    declare = producer.maybe_declare

    def maybe_declare(entity: Any, retry: bool = False, **policy: Any) -> Any:
        if id(entity) in declared:
            return False
        result = declare(entity, retry, **policy)
        if getattr(entity, "can_cache_declaration", False):
            # The reference to the queue prevents that another object gets the same id.
            declared[id(entity)] = entity
        return result

    producer.maybe_declare = maybe_declare
