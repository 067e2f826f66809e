"""From a due entry to the messages for the broker, in one of three delivery modes.

The message is Celery's own: an entry goes through the app's normal publishing path. Where the
broker is the schedule's own Redis server, the path ends in a channel that collects the commands
which would put the message there; the commit then executes them in the same step in which it
advances the entry.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from celery import Celery
from celery.result import denied_join_result
from celery.utils.log import get_logger
from kombu.transport.redis import GlobalKeyPrefixMixin
from redis import exceptions

from .connection import UNREACHABLE, is_cluster

logger = get_logger("celery.beat")

EXACTLY_ONCE = "exactly-once"
AT_LEAST_ONCE = "at-least-once"
AT_MOST_ONCE = "at-most-once"

#: Redis commands of one message: (database, words).
Commands = list[tuple[int, Sequence[str]]]


def task_id_of(key: str, moment: str) -> str:
    """The id of the run of the entry at *key* for the nominal time (or the trigger) *moment*.

    The same run always gets the same id, so that a message sent twice can be recognised.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"redbeat:{key}#{moment}"))


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of publishing one entry.

    :ivar task_id: the id of the message.
    :ivar commands: what puts it into the broker, when it was collected.
    :ivar error: why it could not be published; empty when it was.
    :ivar broker_down: the reason lies with the broker, not with the entry.
    """

    task_id: str
    commands: Commands
    error: str = ""
    broker_down: bool = False


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


class _Collecting:
    """Mixed into kombu's Redis channel: messages are noted, everything else happens."""

    commands: Commands | None = None

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


class Dispatcher:
    """Publishes entries for one app.

    :param delivery: ``redbeat_delivery``.
    :param schedule_client: the client of the schedule's Redis.
    """

    def __init__(self, app: Celery, delivery: str, schedule_client: Any) -> None:
        self.app = app
        self._wanted = delivery
        self._client = schedule_client
        self._connection: Any = None
        self._producer: Any = None
        self.mode = AT_LEAST_ONCE if delivery == "auto" else delivery
        self.reason = ""
        self._undecided = False
        #: What identifies the server that messages are collected for; empty in other modes.
        self.server = ""

    def choose_mode(self) -> str:
        """Find out which mode holds now; call it whenever this beat begins to lead.

        ``exactly-once`` needs the broker to be the very server process that holds the schedule:
        their ``run_id`` is compared.
        """
        if self._wanted != "auto":
            self.mode, self.reason = self._wanted, "as redbeat_delivery says"
            return self.mode
        self.close()
        self.mode, self.reason, self.server = AT_LEAST_ONCE, "", ""
        self._undecided = False
        if is_cluster(self._client):
            self.reason = "the schedule is on a Redis Cluster"
            return self.mode
        try:
            self._open(collecting=True)
            channel = self._producer.channel
            if not isinstance(channel, _Collecting):
                self.reason = "the broker is no Redis"
            elif _run_id(channel.client) != _run_id(self._client):  # type: ignore[attr-defined]
                self.reason = "the broker is another Redis server"
            else:
                self.server = _run_id(self._client)
                self.mode, self.reason = EXACTLY_ONCE, "the broker is the schedule's Redis server"
        except Exception as exc:
            # Whatever keeps us from knowing, at-least-once is safe.
            self.reason = f"the broker cannot be asked: {exc}"
            self._undecided = isinstance(exc, UNREACHABLE)
        if self.mode != EXACTLY_ONCE:
            self.close()
        return self.mode

    def prepare(self) -> str:
        """Open what publishing needs; call it before a batch.

        :returns: why nothing can be published now; empty when all is well.
        """
        if self._producer is not None:
            return ""
        # The broker may have moved to another server since: then the mode is another.
        self.choose_mode()
        if self._undecided:
            # A moment's trouble must not cost the better mode for as long as this beat leads.
            return self.reason
        if self._producer is None:
            try:
                self._open(collecting=False)
            except Exception as exc:
                # kombu lets through whatever the transport's library raises.
                return f"the broker cannot be reached: {exc}"
        return ""

    def publish(self, task_id: str, send: Callable[[Any], Any]) -> Sent:
        """Publish one message through *send*, which is given the producer to use.

        In the exactly-once mode it is only collected. Never raises for what the entry or the
        broker does.
        """
        commands: Commands = []
        try:
            if not self._is_whole():
                raise ConnectionError("the connection to the broker was lost")
            if self.mode == EXACTLY_ONCE:
                self._producer.channel.commands = commands
            # No result is ever waited for here: without this the result backend subscribes to
            # each result's channel.
            with denied_join_result():
                result = send(self._producer)
            return Sent(getattr(result, "id", None) or task_id, commands)
        except Exception as exc:
            down = self._is_broker_down(exc) or not self._is_whole()
            if down:
                self.close()
            return Sent(task_id, [], error=str(exc) or repr(exc), broker_down=down)

    def _is_whole(self) -> bool:
        """Whether the producer still has the live channel that it was made with: after an error
        kombu may leave it a dead one, or put one in its place that does not collect."""
        channel = self._producer.channel
        if channel is None or getattr(channel, "connection", None) is None:
            return False
        return self.mode != EXACTLY_ONCE or isinstance(channel, _Collecting)

    def _is_broker_down(self, exc: BaseException | None) -> bool:
        if self._producer is None:
            return True
        errors = (*self._connection.connection_errors, *self._connection.channel_errors)
        while exc is not None:
            if isinstance(exc, errors):
                return True
            exc = exc.__cause__ or exc.__context__
        return False

    def _open(self, *, collecting: bool) -> None:
        connection = self.app.connection_for_write()
        try:
            if connection.transport_cls in ("amqp", "amqps", "pyamqp"):
                connection.transport_options.setdefault("confirm_publish", True)
            transport = connection.transport
            if collecting and transport.driver_type == "redis":
                # Before the connection is made, which makes the first channel.
                transport.Channel = type("CollectingChannel", (_Collecting, transport.Channel), {})
            # One attempt: the tick goes on and comes back, it does not hang here.
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            channel = connection.channel()
        except Exception:
            connection.release()
            raise
        self._connection = connection
        self._producer = self.app.amqp.Producer(channel, auto_declare=False)

    def close(self) -> None:
        """Close the connection to the broker; the next publish opens one again."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.release()
            except Exception as exc:
                logger.debug("beat: closing the broker connection: %s", exc)


def _run_id(client: Any) -> str:
    """What identifies the server process that *client* talks to."""
    try:
        info = client.info("server")
    except exceptions.ResponseError:
        # A managed server may refuse INFO; then its address must do.
        kwargs = client.connection_pool.connection_kwargs
        return f"{kwargs.get('host')}:{kwargs.get('port')}:{kwargs.get('path')}"
    return str(info["run_id"])
