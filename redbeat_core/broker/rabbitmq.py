"""Publishes to RabbitMQ with confirmations, many messages at a time, and never waits without end.

py-amqp's own confirmation waits for the broker after each message. Here the messages are sent one
after another, each with a receipt, on which the broker's confirmation is recorded later. A message
counts as published only if the broker accepted it for a queue: one that it refuses (a full queue)
or cannot route (a queue that was deleted meanwhile) does not. Only the publisher uses this.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Any

import amqp
from kombu.transport import pyamqp

from redbeat_core.signals import interrupted
from redbeat_core.storage.errors import error_text

from .delivery import Confirmation, PublishResult, whole_channel
from .redis_capture import Commands

#: Seconds that a broker may take for a reply before it counts as down.
CONFIRM_TIMEOUT = 5.0
#: The same once beat has received a signal to end.
SHUTDOWN_TIMEOUT = 0.5
#: Seconds between checks for that signal.
_SIGNAL_INTERVAL = 0.1
BLOCKED = "the broker blocks publishers: it is short of memory or disk, see its log"


class ConfirmingChannel(pyamqp.Channel):  # type: ignore[misc, unused-ignore]
    """A channel whose messages are confirmed.

    If one message causes an error, the broker closes the channel, and the confirmations of the
    others are lost: those count as refused and are published again. Therefore each request that is
    likely to fail (a declaration, the first message to an exchange) waits until all messages are
    confirmed, and is sent alone.

    :ivar receipts: the receipts of all messages since the caller assigned an empty list.
    :ivar fanouts: names of the fanout exchanges, which may legitimately have no queue.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.receipts: list[Confirmation] = []
        self.fanouts: Collection[str] = ()
        self._tag = 0
        self._open: dict[int, Confirmation] = {}
        self._proven = {""}
        self._error = ""
        self.events["basic_ack"].add(self._acknowledged)
        self.events["basic_nack"].add(self._refused)
        self.events["basic_return"].add(self._returned)

    def open(self) -> None:
        """Open the channel; py-amqp calls this again after the broker closed it by an error."""
        self.give_up(self._error or "the broker closed the channel")
        super().open()
        self.confirm_select()
        self._tag = 0

    def basic_publish(
        self,
        msg: Any,
        exchange: str = "",
        routing_key: str = "",
        *_: Any,
        timeout: float | None = None,
        **__: Any,
    ) -> None:
        """Send a message; its confirmation is final once :meth:`wait_for_confirms` returns.

        :raises amqp.ConnectionError: the broker blocks publishers.
        """
        connection = self._live_connection()
        alone = exchange not in self._proven
        if alone:
            self.wait_for_confirms()
        receipt = Confirmation(msg.properties.get("correlation_id"))
        mandatory = exchange not in self.fanouts
        try:
            self._basic_publish(
                msg, exchange, routing_key, mandatory, timeout=timeout or CONFIRM_TIMEOUT
            )
        except Exception as exc:
            if isinstance(exc, OSError) or isinstance(exc.__context__, OSError):
                # A part of the message may have been sent: this connection is unusable now.
                connection.collect()
            raise
        self._tag += 1
        self._open[self._tag] = receipt
        self.receipts.append(receipt)
        if alone:
            self.wait_for_confirms()
            if receipt.taken:
                self._proven.add(exchange)

    def wait_for_confirms(self) -> None:
        """Wait until the receipt of every message is final: confirmed, or with the error.

        :raises amqp.ConnectionError: the connection is lost, or the broker does not answer.
        """
        responsive = False
        while self._open:
            connection = self._live_connection()
            try:
                connection.drain_events(timeout=CONFIRM_TIMEOUT / 2)
                responsive = False
            except TimeoutError:
                # One queue may hang (a quorum queue without its leader) in a broker that works.
                # After half the timeout the broker is asked for a reply, so that both waits
                # together take no longer than the timeout.
                if responsive or interrupted():
                    self.give_up(
                        f"the broker did not confirm the message within {CONFIRM_TIMEOUT:g} s"
                    )
                    return
                self._require_reply(connection)
                responsive = True
            except amqp.ChannelError:
                continue
            except (OSError, amqp.ConnectionError) as exc:
                self.give_up(error_text(exc))
                raise

    def _require_reply(self, connection: BoundedConnection) -> None:
        """Send a request that changes nothing, and wait for the broker's reply."""
        connection.patience = CONFIRM_TIMEOUT / 2
        try:
            self.confirm_select()
        except (OSError, amqp.ConnectionError) as exc:
            self.give_up(error_text(exc))
            raise
        finally:
            connection.patience = None

    def give_up(self, reason: str) -> None:
        """Mark the unconfirmed messages as refused for *reason*."""
        for receipt in self._open.values():
            receipt.refusal = receipt.refusal or reason
        self._open.clear()

    def exchange_declare(self, *args: Any, **kwargs: Any) -> Any:
        self.wait_for_confirms()
        return super().exchange_declare(*args, **kwargs)

    def queue_declare(self, *args: Any, **kwargs: Any) -> Any:
        self.wait_for_confirms()
        return super().queue_declare(*args, **kwargs)

    def queue_bind(self, *args: Any, **kwargs: Any) -> Any:
        self.wait_for_confirms()
        return super().queue_bind(*args, **kwargs)

    def _live_connection(self) -> BoundedConnection:
        connection: BoundedConnection | None = self.connection
        if connection is None or not connection.connected:
            raise amqp.RecoverableConnectionError("the connection to the broker was lost")
        if connection.blocked:
            raise amqp.exceptions.Blocked(BLOCKED)
        return connection

    def _on_close(self, reply_code: int, reply_text: str, *method: Any) -> None:
        self._error = f"{reply_text} ({reply_code})"
        super()._on_close(reply_code, reply_text, *method)

    def _acknowledged(self, tag: int, multiple: bool) -> None:
        for receipt in self._closed(tag, multiple):
            # The broker first returns a message that it cannot route, then acknowledges it.
            receipt.taken = not receipt.refusal

    def _refused(self, tag: int, multiple: bool) -> None:
        for receipt in self._closed(tag, multiple):
            receipt.refusal = receipt.refusal or "the broker refused the message (a full queue?)"

    def _returned(self, error: Exception, exchange: str, routing_key: str, message: Any) -> None:
        for receipt in self._open.values():
            if receipt.message == message.properties.get("correlation_id"):
                receipt.refusal = (
                    f"no queue gets the message: exchange {exchange!r}, routing key "
                    f"{routing_key!r} ({error})"
                )
        # The queue may have been deleted: the next attempt must declare it again.
        self.connection.client.declared_entities.clear()

    def _closed(self, tag: int, multiple: bool) -> Iterator[Confirmation]:
        """Remove and return the receipts of a confirmation: of this tag, or of all up to it."""
        tags = list(takewhile(lambda open_tag: open_tag <= tag, self._open)) if multiple else [tag]
        for closed_tag in tags:
            receipt = self._open.pop(closed_tag, None)
            if receipt is not None:
                yield receipt


class BoundedConnection(pyamqp.Connection):  # type: ignore[misc, unused-ignore]
    """A connection that waits for a reply no longer than :data:`CONFIRM_TIMEOUT`.

    :ivar blocked: the broker blocks publishers at present.
    :ivar patience: seconds to wait for a reply instead of :data:`CONFIRM_TIMEOUT`.
    """

    Channel = ConfirmingChannel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.blocked = False
        self.patience: float | None = None
        # The channel confirms by itself.
        kwargs["confirm_publish"] = False
        super().__init__(*args, **kwargs)
        self.on_blocked, self.on_unblocked = self._block, self._unblock

    def Transport(self, host: str, connect_timeout: float, *args: Any, **kwargs: Any) -> Any:
        transport = super().Transport(host, connect_timeout, *args, **kwargs)
        if self.ssl:
            set_up = transport._setup_transport

            def set_up_in_time() -> None:
                # Older py-amqp waits without end for a broker that does not answer with TLS.
                transport.sock.settimeout(connect_timeout)
                set_up()

            transport._setup_transport = set_up_in_time
        return transport

    def drain_events(self, timeout: float | None = None) -> None:
        """Receive frames from the broker until one is an event.

        :param timeout: seconds; None: the caller waits for a reply.
        :raises TimeoutError: no event arrived within *timeout*.
        :raises amqp.RecoverableConnectionError: the expected reply did not arrive.
        """
        expects_reply = timeout is None
        started = time.monotonic()
        until = started + ((self.patience or CONFIRM_TIMEOUT) if timeout is None else timeout)
        try:
            # A heartbeat is no event.
            while not self._read(until):
                if interrupted():
                    until = min(until, started + SHUTDOWN_TIMEOUT)
        except TimeoutError:
            if not expects_reply:
                raise
            # A later reply would be read as the reply to another request.
            self.collect()
            raise amqp.RecoverableConnectionError(
                f"the broker did not answer within {CONFIRM_TIMEOUT:g} s"
            ) from None

    def _read(self, until: float) -> bool:
        """Receive one frame; False: it was no event, or none came yet and there is time left.

        :raises TimeoutError: no frame came until *until*.
        """
        left = max(until - time.monotonic(), 0)
        try:
            return bool(self.blocking_read(min(left, _SIGNAL_INTERVAL)))
        except TimeoutError:
            if left <= _SIGNAL_INTERVAL:
                raise
            return False

    def collect(self) -> None:
        sock = getattr(self._transport, "sock", None)
        if sock is not None:
            # The TLS shutdown handshake would block.
            with suppress(OSError):
                sock.settimeout(0)
        super().collect()

    def look(self) -> str:
        """Receive the frames that have arrived; return why the broker cannot take messages, or an
        empty text."""
        try:
            while True:
                self.drain_events(timeout=0)
        except TimeoutError:
            return BLOCKED if self.blocked else ""
        except Exception as exc:
            return f"the connection to the broker was lost: {exc}"

    def _block(self, reason: str) -> None:
        self.blocked = True

    def _unblock(self) -> None:
        self.blocked = False


class RabbitMQLink:
    """A connection to RabbitMQ: every message is confirmed, many at a time."""

    captures = False

    def __init__(self, producer: Any, fanouts: Collection[str]) -> None:
        """:param fanouts: names of the exchanges that may have no queue."""
        self._producer = producer
        self.in_commit = False
        producer.channel.fanouts = fanouts

    def begin_message(
        self, commands: Commands, receipts: list[Confirmation], *, alone: bool
    ) -> None:
        channel = self._producer.channel
        if alone:
            channel.wait_for_confirms()
        channel.receipts = receipts

    def end_message(self, *, alone: bool) -> None:
        if alone:
            self._producer.channel.wait_for_confirms()

    def confirm(
        self, results: Sequence[PublishResult], *, push: bool
    ) -> tuple[list[PublishResult], str]:
        channel = self._producer.channel
        lost = ""
        if isinstance(channel, ConfirmingChannel):
            try:
                channel.wait_for_confirms()
            except Exception as exc:
                error = error_text(exc)
                channel.give_up(error)
                lost = "" if self.is_blocked() else error
        return list(results), lost

    def is_whole(self) -> bool:
        channel = whole_channel(self._producer)
        return channel is not None and bool(channel.connection.connected)

    def is_blocked(self) -> bool:
        return self.is_whole() and bool(self._producer.channel.connection.blocked)

    def error(self) -> str:
        if not self.is_whole():
            return "the connection to the broker was lost"
        error: str = self._producer.channel.connection.look()
        return error

    def is_broker_error(self, exc: BaseException | None) -> bool:
        # The connection is alive: the message caused the error.
        return False

    def begin_close(self, reason: str) -> None:
        channel = self._producer.channel
        if isinstance(channel, ConfirmingChannel):
            channel.give_up(reason or "the connection was closed")
        connection = getattr(channel, "connection", None)
        if not reason and isinstance(connection, BoundedConnection):
            # The broker may not answer, and beat must end soon.
            connection.patience = SHUTDOWN_TIMEOUT
