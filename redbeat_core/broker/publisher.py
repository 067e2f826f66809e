"""Publishes messages to the broker, in one of three delivery modes.

Celery makes the messages: they go through the app's normal publishing path. If the broker is the
schedule's own Redis server, the path ends in a channel that captures the Redis commands instead of
sending them; the commit executes them in the same atomic step in which it advances the entry.
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

from .delivery import AT_LEAST_ONCE, EXACTLY_ONCE, BrokerLink, Confirmation, PublishResult
from .rabbitmq import CONFIRM_TIMEOUT, BoundedConnection, ConfirmingChannel, RabbitMQLink
from .redis_capture import CapturingChannel, Commands, declare_once
from .redis_publish import SILENT, RedisLink, with_replies
from .unconfirmed import UnconfirmedLink

logger = get_logger("celery.beat")


class Publisher:
    """Publishes the messages of one app.

    :param delivery: ``redbeat_delivery``.
    :param schedule_client: the client of the schedule's Redis.
    :ivar mode: the delivery mode.
    :ivar reason: why this mode was chosen.
    """

    def __init__(self, app: Celery, delivery: str, schedule_client: Any) -> None:
        self.app = app
        self._wanted = delivery
        self._client = schedule_client
        self._connection: Any = None
        self._producer: Any = None
        self._link: BrokerLink | None = None
        self.mode = AT_LEAST_ONCE if delivery == "auto" else delivery
        self.reason = ""
        self._undecided = False
        #: Why the last connection was closed.
        self._lost_reason = ""
        self._asked_at = 0.0
        #: The identity of the server for which commands are captured; empty in other modes.
        self.server = ""

    def choose_mode(self) -> str:
        """Choose the delivery mode and return it; call this whenever this beat becomes the leader.

        ``exactly-once`` requires that the broker is the same server process that holds the
        schedule: their ``run_id`` is compared.
        """
        if self._wanted != "auto":
            self.mode = self._wanted
            self.reason = "as redbeat_delivery says"
            return self.mode
        self.close()
        self.mode = AT_LEAST_ONCE
        self.reason = self.server = ""
        self._undecided = False
        if is_cluster(self._client):
            self.reason = "the schedule is on a Redis Cluster"
            return self.mode
        try:
            link = self._open()
            channel = self._producer.channel
            if not link.captures:
                self.reason = f"the broker is no Redis ({self._connection.transport.driver_type})"
            elif not _same_server(channel.client, self._client):
                self.reason = "the broker is another Redis server"
            elif _user(channel.client) != _user(self._client):
                # The schedule's user may not be allowed to write the broker's queues.
                self.reason = "the broker's URL has another user than the schedule's"
            else:
                self.server = _run_id(self._client) or _address(self._client)
                self.mode = EXACTLY_ONCE
                link.in_commit = True
                self.reason = "the broker is the schedule's Redis server"
        except Exception as exc:
            # The answer is unknown, whatever the error: at-least-once is safe.
            self.close()
            # kombu raises its own error if the broker is unreachable.
            self._undecided = isinstance(exc, (*UNREACHABLE, OperationalError))
            verb = "reached" if self._undecided else "asked"
            self.reason = f"the broker cannot be {verb}: {exc}"
        self._asked_at = time.monotonic()
        return self.mode

    def prepare(self) -> str:
        """Connect to the broker if necessary; call this before a batch.

        :returns: why publishing is impossible now; empty: it is possible.
        """
        if self._link is not None:
            trouble = self._link.error()
            if not trouble or self._link.is_blocked():
                return trouble
            if trouble == SILENT:
                # A new connection may block just as long: let the tick end first.
                self.close(trouble)
                return trouble
            # The connection was lost while idle: reconnect silently.
            self.close()
        asked_at = self._asked_at
        self._asked_at = 0.0
        if self._undecided and time.monotonic() - asked_at < 1:
            # This beat asked the broker just now, when it became the leader: asking again would
            # block just as long.
            return self.reason
        # The broker may be another server since then, which can change the mode.
        before = (self.mode, self.reason)
        self.choose_mode()
        self._asked_at = 0.0
        if self._undecided:
            # A short failure must not keep this beat in the weaker mode for as long as it leads.
            return self.reason
        if self._link is None:
            try:
                self._open()
            except Exception as exc:
                # kombu does not wrap all errors of the transport's library.
                return f"the broker cannot be reached: {exc}"
        if (self.mode, self.reason) != before:
            logger.info("beat: Delivery is %s: %s", self.mode, self.reason)
        return ""

    def publish(
        self, task_id: str, send: Callable[[Any], Any], *, alone: bool = False
    ) -> PublishResult:
        """Publish one message through *send*, which receives the producer.

        For a Redis broker the commands are only captured: the commit executes them in the
        exactly-once mode, :meth:`wait_for_confirms` in the others. For RabbitMQ the message is
        sent, and its result is final after :meth:`wait_for_confirms`. Errors of the entry and of
        the broker are returned, never raised.

        :param alone: publish it while no other message waits for its confirmation, since it may
            cause an error that closes the channel.
        """
        commands: Commands = []
        receipts: list[Confirmation] = []
        try:
            link = self._link
            if link is None or not link.is_whole():
                raise ConnectionError(self._lost_reason or "the connection to the broker was lost")
            link.begin_message(commands, receipts, alone=alone)
            # Beat never waits for a result: without this the result backend subscribes to each
            # result's channel.
            with denied_join_result():
                result = send(self._producer)
            link.end_message(alone=alone)
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
        """Whether messages are captured, as commands for a Redis."""
        return self._link is not None and self._link.captures

    def wait_for_confirms(
        self, sent: Sequence[PublishResult], *, push: bool = True
    ) -> list[PublishResult]:
        """Wait for the broker's confirmations and return the results.

        :param push: False: do not send captured commands.
        """
        if self._link is not None:
            results, lost = self._link.confirm(sent, push=push)
            if lost:
                self.close(lost)
        elif self.mode != EXACTLY_ONCE:
            results = with_replies(sent, [], self._lost_reason or "it was not sent")
        else:
            results = list(sent)
        # If the connection was lost and closed while more messages were published, the receipts of
        # its messages hold the error.
        down = self._link is None or self._is_blocked()
        return [_with_refusal(result, down) for result in results]

    def _is_blocked(self) -> bool:
        return self._link is not None and self._link.is_blocked()

    def _is_broker_down(self, exc: BaseException) -> bool:
        link = self._link
        if link is None or not link.is_whole() or link.is_blocked():
            return True
        return link.is_broker_error(exc)

    def _open(self) -> BrokerLink:
        connection = self.app.connection_for_write()
        make = connection.create_transport

        def create_transport() -> Any:
            # kombu calls this for each of several addresses, before it makes the connection, which
            # makes the first channel.
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
            # One attempt for each address: the tick must not block; a later one retries.
            others = len(connection.alt) - 1 if connection.alt else 0
            with interrupts_let_through():
                connection.ensure_connection(max_retries=others, interval_start=0, interval_step=0)
            channel = connection.channel()
        except Exception:
            _abandon(connection)
            raise
        self._connection = connection
        producer = self._producer = self.app.amqp.Producer(channel, auto_declare=False)
        errors = (*connection.connection_errors, *connection.channel_errors)
        link: BrokerLink
        if isinstance(channel, CapturingChannel):
            declare_once(producer)
            link = RedisLink(producer, errors)
        elif isinstance(channel, ConfirmingChannel):
            exchanges = (queue.exchange for queue in self.app.amqp.queues.values())
            fanouts = {item.name for item in exchanges if item and item.type == "fanout"}
            link = RabbitMQLink(producer, fanouts)
        else:
            link = UnconfirmedLink(producer, errors)
        self._link = link
        return link

    def close(self, reason: str = "") -> None:
        """Close the connection to the broker; :meth:`prepare` opens a new one.

        :param reason: the error that made it unusable: then no closing handshake is made.
        """
        connection, link = self._connection, self._link
        self._connection = self._producer = self._link = None
        if connection is None or link is None:
            return
        self._lost_reason = reason
        link.begin_close(reason)
        if reason:
            _abandon(connection)
            return
        try:
            connection.release()
        except Exception as exc:
            logger.debug("beat: closing the broker connection: %s", exc)


def _abandon(connection: Any) -> None:
    """Close a connection without a closing handshake, which an unresponsive broker would block."""
    try:
        connection.collect(socket_timeout=CONFIRM_TIMEOUT)
    except Exception as exc:
        logger.debug("beat: leaving the broker connection: %s", exc)


def _with_refusal(sent: PublishResult, down: bool) -> PublishResult:
    refusals = [receipt.refusal for receipt in sent.receipts if not receipt.taken]
    if sent.error or not refusals:
        return sent
    return replace(sent, error=refusals[0] or "it was not confirmed", broker_down=down)


def _same_server(broker: Any, schedule: Any) -> bool:
    ids = (_run_id(broker), _run_id(schedule))
    if all(ids):
        return ids[0] == ids[1]
    return bool(_address(broker)) and _address(broker) == _address(schedule)


def _run_id(client: Any) -> str:
    """Return the id of the server process of *client*; empty if it is hidden: a managed server may
    refuse INFO, and then the addresses are compared."""
    try:
        return str(client.info("server")["run_id"])
    except exceptions.ResponseError:
        return ""


def _user(client: Any) -> str:
    return client.connection_pool.connection_kwargs.get("username") or "default"


def _address(client: Any) -> str:
    """Return the address of the server of *client*; empty if a Sentinel resolves it."""
    kwargs = client.connection_pool.connection_kwargs
    if not (kwargs.get("host") or kwargs.get("path")):
        return ""
    return f"{kwargs.get('host')}:{kwargs.get('port')}:{kwargs.get('path')}"
