"""A channel of kombu's Redis transport that notes the commands of messages and sends none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kombu.transport.redis import GlobalKeyPrefixMixin

#: Redis commands of one message: (database, words).
Commands = list[tuple[int, Sequence[str]]]


class _Recorder(GlobalKeyPrefixMixin):  # type: ignore[misc, unused-ignore]
    """Stands in for kombu's Redis client and pipeline while a message is put: notes each command
    instead of sending it, with kombu's own key prefixing."""

    def __init__(self, commands: Commands, database: int, prefix: str) -> None:
        self.global_keyprefix = prefix
        self._commands = commands
        self._database = database

    def _note(self, *words: Any) -> int:
        if self.global_keyprefix:
            prefixed: Callable[..., Any] = self._prefix_args
            words = tuple(prefixed(words))
        texts = [
            word.decode("utf-8", "surrogateescape") if isinstance(word, bytes) else str(word)
            for word in words
        ]
        for text in texts:
            if not text.isascii():
                # Half a character, which no server takes: it is this message's fault alone.
                text.encode("utf-8", "surrogateescape")
        self._commands.append((self._database, texts))
        return 1

    def lpush(self, key: str, *values: Any) -> int:
        return self._note("LPUSH", key, *values)

    def pexpire(self, key: str, milliseconds: int) -> int:
        return self._note("PEXPIRE", key, milliseconds)

    def publish(self, channel: str, message: Any) -> int:
        return self._note("PUBLISH", channel, message)

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
    """Mixed into kombu's Redis channel: messages are noted, everything else happens.

    :ivar declared: the queues that :func:`declare_once` need not declare, by their ids.
    """

    commands: Commands | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.declared: dict[int, Any] = {}
        super().__init__(*args, **kwargs)

    def basic_publish(self, message: Any, exchange: str, routing_key: str, **kwargs: Any) -> Any:
        """Put a message where it goes.

        :raises NoQueueError: that is nowhere; kombu says nothing of it.
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
        """Let queues be declared, and bound to *exchange*, with the next attempt: the broker may
        have lost them."""
        self.declared.clear()
        self.connection.client.declared_entities.clear()  # type: ignore[attr-defined]
        state = self.state  # type: ignore[attr-defined]
        for queue, bound_to, key in list(state.bindings):
            if bound_to == exchange:
                state.binding_delete(queue, bound_to, key)

    def _put(self, *args: Any, **kwargs: Any) -> Any:
        return self._collecting(super()._put, args, kwargs)  # type: ignore[misc]

    def _put_fanout(self, *args: Any, **kwargs: Any) -> Any:
        return self._collecting(super()._put_fanout, args, kwargs)  # type: ignore[misc]

    def _collecting(self, put: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        self._putting = True
        try:
            return put(*args, **kwargs)
        finally:
            self._putting = False

    _putting = False

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
    """Let *producer* remember the queues that it has declared.

    kombu remembers them, too, but makes a copy of the queue for each message before it looks.
    """
    declared: dict[int, Any] = producer.channel.declared
    declare = producer.maybe_declare

    def maybe_declare(entity: Any, retry: bool = False, **policy: Any) -> Any:
        if id(entity) in declared:
            return False
        done = declare(entity, retry, **policy)
        if getattr(entity, "can_cache_declaration", False):
            # With the queue itself: another could come to have its id.
            declared[id(entity)] = entity
        return done

    producer.maybe_declare = maybe_declare
