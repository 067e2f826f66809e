"""From a due entry to the messages for the broker, in one of three delivery modes.

The message is Celery's own: an entry goes through the app's normal publishing path. Where the
broker is the schedule's own Redis server, the path ends in a channel that collects the commands
which would put the message there; the commit then executes them in the same step in which it
advances the entry.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from celery import Celery
from celery.result import denied_join_result
from celery.utils.log import get_logger
from kombu.exceptions import OperationalError
from kombu.transport import pyamqp
from redis import exceptions

from redbeat_core.signals import interrupts_let_through
from redbeat_core.storage.connection import UNREACHABLE, is_cluster
from redbeat_core.storage.errors import error_text

from .delivery import AT_LEAST_ONCE, EXACTLY_ONCE, Confirmation, PublishResult
from .rabbitmq import CONFIRM_TIMEOUT, SHUTDOWN_TIMEOUT, BoundedConnection, ConfirmingChannel
from .redis_capture import CapturingChannel, Commands, declare_once
from .redis_publish import Push, push

logger = get_logger("celery.beat")

_SILENT = "the broker does not answer"


class Publisher:
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
        #: Why the last connection was closed.
        self._lost = ""
        self._asked_at = 0.0
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
            self._open()
            channel = self._producer.channel
            if not isinstance(channel, CapturingChannel):
                self.reason = f"the broker is no Redis ({self._connection.transport.driver_type})"
            elif not _same_server(channel.client, self._client):  # type: ignore[attr-defined]
                self.reason = "the broker is another Redis server"
            elif _user(channel.client) != _user(self._client):  # type: ignore[attr-defined]
                # The schedule's user may not be allowed to write the broker's queues.
                self.reason = "the broker is used as another user than the schedule"
            else:
                self.server = _run_id(self._client) or _address(self._client)
                self.mode, self.reason = EXACTLY_ONCE, "the broker is the schedule's Redis server"
        except Exception as exc:
            # Whatever keeps us from knowing, at-least-once is safe.
            self.close()
            # kombu has its own name for a broker that is away.
            self._undecided = isinstance(exc, (*UNREACHABLE, OperationalError))
            what = "reached" if self._undecided else "asked"
            self.reason = f"the broker cannot be {what}: {exc}"
        self._asked_at = time.monotonic()
        return self.mode

    def prepare(self) -> str:
        """Open what publishing needs; call it before a batch.

        :returns: why nothing can be published now; empty when all is well.
        """
        if self._producer is not None:
            trouble = self._look()
            if not trouble or self._is_blocked():
                return trouble
            if trouble == _SILENT:
                # Another connection would be waited for as long: let the tick end first.
                self.close(trouble)
                return trouble
            # Lost while nothing was under way: nobody need know, if there is another.
            self.close()
        asked_at, self._asked_at = self._asked_at, 0.0
        if self._undecided and time.monotonic() - asked_at < 1:
            # Asked just now, when this beat took the lead: asking again would take as long.
            return self.reason
        # The broker may have moved to another server since: then the mode is another.
        before = self.mode, self.reason
        self.choose_mode()
        self._asked_at = 0.0
        if self._undecided:
            # A moment's trouble must not cost the better mode for as long as this beat leads.
            return self.reason
        if self._producer is None:
            try:
                self._open()
            except Exception as exc:
                # kombu lets through whatever the transport's library raises.
                return f"the broker cannot be reached: {exc}"
        if (self.mode, self.reason) != before:
            logger.info("beat: Delivery is %s: %s", self.mode, self.reason)
        return ""

    def publish(
        self, task_id: str, send: Callable[[Any], Any], *, alone: bool = False
    ) -> PublishResult:
        """Publish one message through *send*, which is given the producer to use.

        To a Redis it is only collected, for the commit in the exactly-once mode, else for
        :meth:`settle`. To RabbitMQ it is under way: what became of it is known after that. Never
        raises for what the entry or the broker does.

        :param alone: with no other message under way, since this one may meet an error.
        """
        commands: Commands = []
        receipts: list[Confirmation] = []
        try:
            if self._producer is None or not self._is_whole():
                raise ConnectionError(self._lost or "the connection to the broker was lost")
            channel = self._producer.channel
            if isinstance(channel, CapturingChannel):
                channel.commands = commands
            confirms = isinstance(channel, ConfirmingChannel)
            if confirms:
                if alone:
                    channel.wait_for_confirms()
                channel.receipts = receipts
            # No result is ever waited for here: without this the result backend subscribes to
            # each result's channel.
            with denied_join_result():
                result = send(self._producer)
            if confirms and alone:
                channel.wait_for_confirms()
            return PublishResult(
                getattr(result, "id", None) or task_id, commands, receipts=receipts
            )
        except Exception as exc:
            error = error_text(exc)
            down = self._is_broker_down(exc)
            if down and not self._is_blocked():
                self.close(error)
            return PublishResult(task_id, [], error, broker_down=down)

    @property
    def collects(self) -> bool:
        """Whether messages are collected, as commands for a Redis."""
        return self._producer is not None and isinstance(self._producer.channel, CapturingChannel)

    def wait_for_confirms(
        self, sent: Sequence[PublishResult], *, push: bool = True
    ) -> list[PublishResult]:
        """Wait until the broker has spoken of what was published, and say what it said.

        :param push: False: what is only collected so far is not sent.
        """
        if self._producer is not None and isinstance(self._producer.channel, ConfirmingChannel):
            channel = self._producer.channel
            try:
                channel.wait_for_confirms()
            except Exception as exc:
                error = error_text(exc)
                channel.give_up(error)
                if not self._is_blocked():
                    self.close(error)
        elif self.mode != EXACTLY_ONCE:
            sent = self._pushed(sent, push)
        # Also where the connection was lost, and closed, while more was published: what was under
        # way on it has receipts that say so.
        down = self._producer is None or self._is_blocked()
        return [_settled(one, down) for one in sent]

    def _pushed(self, sent: Sequence[PublishResult], push_now: bool) -> list[PublishResult]:
        """Send what was collected, if it is not to be part of the commit."""
        collected = [one for one in sent if one.commands and not one.error]
        pushes: list[Push] = []
        lost = self._lost or "it was not sent"
        if push_now and self.collects:
            pushes, problem = push(self._producer.channel.pool, [one.commands for one in collected])
            if problem is not None:
                lost = f"the connection to the broker was lost: {problem}"
                self.close(lost)
        answers = iter(pushes)
        settled = []
        for one in sent:
            if one.commands and not one.error:
                answer = next(answers, None)
                taken, said = (answer.taken, answer.refusal) if answer else (False, "")
                error = "" if taken else said or lost
                one = replace(one, commands=[], error=error, broker_down=not (taken or said))
            settled.append(one)
        return settled

    def _is_whole(self) -> bool:
        """Whether the producer still has the live channel that it was made with: after an error
        kombu may leave it a dead one, or put one in its place that does not collect."""
        channel = self._producer.channel
        connection = getattr(channel, "connection", None)
        if channel is None or connection is None:
            return False
        if isinstance(connection, BoundedConnection):
            return bool(connection.connected)
        return self.mode != EXACTLY_ONCE or isinstance(channel, CapturingChannel)

    def _is_blocked(self) -> bool:
        """Whether the broker said that it takes nothing for now, on a connection that lives."""
        if self._producer is None or not self._is_whole():
            return False
        return bool(getattr(self._producer.channel.connection, "blocked", False))

    def _look(self) -> str:
        """Why the connection that is open takes no messages; empty when all is well."""
        if not self._is_whole():
            return "the connection to the broker was lost"
        channel = self._producer.channel
        if isinstance(channel.connection, BoundedConnection):
            return channel.connection.look()
        if self.mode != EXACTLY_ONCE and isinstance(channel, CapturingChannel):
            trouble = _ask(channel)
            if trouble and trouble != _SILENT:
                # That may only have found that an idle connection was closed.
                trouble = _ask(channel)
            return trouble
        return ""

    def _is_broker_down(self, exc: BaseException | None) -> bool:
        if self._producer is None or not self._is_whole() or self._is_blocked():
            return True
        channel = self._producer.channel
        if isinstance(channel, ConfirmingChannel):
            # The connection lives: it was about this message.
            return False
        errors = (*self._connection.connection_errors, *self._connection.channel_errors)
        while exc is not None:
            if isinstance(exc, exceptions.TimeoutError | exceptions.ReadOnlyError):
                return True
            if isinstance(exc, errors):
                return bool(_ask(channel))
            exc = exc.__cause__ or exc.__context__
        return False

    def _open(self) -> None:
        connection = self.app.connection_for_write()
        make = connection.create_transport

        def create_transport() -> Any:
            # Also when kombu goes on to the next of several addresses; before the connection is
            # made, which makes the first channel.
            transport = make()
            if transport.driver_type == "redis":
                transport.Channel = type(
                    "CollectingChannel", (CapturingChannel, transport.Channel), {}
                )
                for option in ("socket_timeout", "socket_connect_timeout"):
                    connection.transport_options.setdefault(option, CONFIRM_TIMEOUT)
            elif isinstance(transport, pyamqp.Transport):
                transport.Connection = BoundedConnection
            return transport

        connection.create_transport = create_transport
        try:
            # One attempt at each address: the tick goes on and comes back, it does not hang here.
            others = len(connection.alt) - 1 if connection.alt else 0
            with interrupts_let_through():
                connection.ensure_connection(max_retries=others, interval_start=0, interval_step=0)
            channel = connection.channel()
        except Exception:
            _abandon(connection)
            raise
        if isinstance(channel, ConfirmingChannel):
            exchanges = (queue.exchange for queue in self.app.amqp.queues.values())
            channel.fanouts = {one.name for one in exchanges if one and one.type == "fanout"}
        self._connection = connection
        self._producer = self.app.amqp.Producer(channel, auto_declare=False)
        if isinstance(channel, CapturingChannel):
            declare_once(self._producer)

    def close(self, reason: str = "") -> None:
        """Close the connection to the broker; the next publish opens one again.

        :param reason: why it is of no use any more: then the broker is not told.
        """
        connection, producer = self._connection, self._producer
        self._connection = self._producer = None
        if connection is None:
            return
        self._lost = reason
        channel = producer.channel
        if isinstance(channel, ConfirmingChannel):
            channel.give_up(reason or "the connection was closed")
        if reason:
            _abandon(connection)
            return
        if isinstance(channel.connection, BoundedConnection):
            # It may have fallen silent, and beat is to end.
            channel.connection.patience = SHUTDOWN_TIMEOUT
        try:
            connection.release()
        except Exception as exc:
            logger.debug("beat: closing the broker connection: %s", exc)


def _abandon(connection: Any) -> None:
    """Let go of a connection without a word to a broker that may not listen."""
    try:
        connection.collect(socket_timeout=CONFIRM_TIMEOUT)
    except Exception as exc:
        logger.debug("beat: leaving the broker connection: %s", exc)


def _ask(channel: Any) -> str:
    """Why the Redis that is the broker of *channel* does not answer; empty when it does."""
    if not isinstance(channel, CapturingChannel):
        return "the channel is no Redis channel"
    try:
        channel.client.ping()  # type: ignore[attr-defined]
    except exceptions.TimeoutError:
        return _SILENT
    except Exception as exc:
        return f"the broker cannot be asked: {exc}"
    return ""


def _settled(sent: PublishResult, down: bool) -> PublishResult:
    refusals = [one.refusal for one in sent.receipts if not one.taken]
    if sent.error or not refusals:
        return sent
    return replace(sent, error=refusals[0] or "it was not confirmed", broker_down=down)


def _same_server(one: Any, other: Any) -> bool:
    ids = _run_id(one), _run_id(other)
    if all(ids):
        return ids[0] == ids[1]
    return bool(_address(one)) and _address(one) == _address(other)


def _run_id(client: Any) -> str:
    """What identifies the server process that *client* talks to; empty when it does not say: a
    managed server may refuse INFO, then its address must do."""
    try:
        return str(client.info("server")["run_id"])
    except exceptions.ResponseError:
        return ""


def _user(client: Any) -> str:
    return client.connection_pool.connection_kwargs.get("username") or "default"


def _address(client: Any) -> str:
    """Where *client* has its server; empty when it asks a Sentinel for that."""
    kwargs = client.connection_pool.connection_kwargs
    if not (kwargs.get("host") or kwargs.get("path")):
        return ""
    return f"{kwargs.get('host')}:{kwargs.get('port')}:{kwargs.get('path')}"
