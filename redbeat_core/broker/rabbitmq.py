"""Publishing to RabbitMQ: every message confirmed, many on their way at once, no endless wait.

py-amqp's own confirmation waits for the broker after each message. Here messages go out one after
another, each with a receipt, and what the broker says of them is noted on the receipts. A message
counts only when the broker took it for a queue: one that it refuses (a full queue) or that no
queue would get (a queue that was deleted meanwhile) counts as not published. Only the dispatcher
uses this.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import takewhile
from typing import Any

import amqp
from kombu.transport import pyamqp

from redbeat_core.signals import interrupted
from redbeat_core.storage.errors import error_text

from .delivery import Confirmation

#: Seconds that a broker may take for an answer before it counts as down; and once beat is told to
#: end, which it looks for so often.
CONFIRM_TIMEOUT = 5.0
SHUTDOWN_TIMEOUT = 0.5
_LOOK = 0.1
BLOCKED = "the broker blocks publishers: it is short of memory or disk, see its log"


class ConfirmingChannel(pyamqp.Channel):  # type: ignore[misc, unused-ignore]
    """A channel whose messages are confirmed.

    An error that the broker finds with one message closes the channel, and with it goes what it
    might yet have said of the others: those count as refused and are published again. So what is
    likely to meet an error (a declaration, an exchange not yet published to) waits until nothing
    is on its way, and goes alone.

    :ivar receipts: of each message since the caller put in an empty list.
    :ivar fanouts: names of the exchanges that, by their nature, may have no queue to give a
        message to.
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
        """Open the channel; also called when the broker closed it because of an error."""
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
                # Part of it may be under way: nothing can follow it on this connection.
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
        """Wait until the broker has spoken of every message; the receipts tell, also of what went
        wrong.

        :raises amqp.ConnectionError: the connection is lost, or the broker is silent altogether.
        """
        answered = False
        while self._open:
            connection = self._live_connection()
            try:
                connection.drain_events(timeout=CONFIRM_TIMEOUT / 2)
                answered = False
            except TimeoutError:
                # A queue may hang (one that lost its leader) in a broker that works: that is found
                # out half-way, so that both together take no longer.
                if answered or interrupted():
                    self.give_up(
                        f"the broker did not confirm the message within {CONFIRM_TIMEOUT:g} s"
                    )
                    return
                self._answer(connection)
                answered = True
            except amqp.ChannelError:
                continue
            except (OSError, amqp.ConnectionError) as exc:
                self.give_up(error_text(exc))
                raise

    def _answer(self, connection: BoundedConnection) -> None:
        connection.patience = CONFIRM_TIMEOUT / 2
        try:
            # Changes nothing, but has an answer.
            self.confirm_select()
        except (OSError, amqp.ConnectionError) as exc:
            self.give_up(error_text(exc))
            raise
        finally:
            connection.patience = None

    def give_up(self, reason: str) -> None:
        """Nothing more will be heard of the messages on their way."""
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
            # A message that no queue gets is returned, and acknowledged after that.
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
        # The queue may have been deleted: before the next attempt it is declared again.
        self.connection.client.declared_entities.clear()

    def _closed(self, tag: int, multiple: bool) -> Iterator[Confirmation]:
        """Take the receipts off that an answer is about: of this tag, or up to it."""
        tags = list(takewhile(lambda one: one <= tag, self._open)) if multiple else [tag]
        for one in tags:
            receipt = self._open.pop(one, None)
            if receipt is not None:
                yield receipt


class BoundedConnection(pyamqp.Connection):  # type: ignore[misc, unused-ignore]
    """A connection that waits for no answer longer than :data:`CONFIRM_TIMEOUT`.

    :ivar blocked: the broker takes nothing at present.
    :ivar patience: seconds for an answer that is owed, if others than :data:`CONFIRM_TIMEOUT`.
    """

    Channel = ConfirmingChannel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.blocked = False
        self.patience: float | None = None
        # The channel does it.
        kwargs["confirm_publish"] = False
        super().__init__(*args, **kwargs)
        self.on_blocked, self.on_unblocked = self._block, self._unblock

    def Transport(self, host: str, connect_timeout: float, *args: Any, **kwargs: Any) -> Any:
        transport = super().Transport(host, connect_timeout, *args, **kwargs)
        if self.ssl:
            set_up = transport._setup_transport

            def set_up_in_time() -> None:
                # Older ones wait without end for a broker that does not begin with TLS.
                transport.sock.settimeout(connect_timeout)
                set_up()

            transport._setup_transport = set_up_in_time
        return transport

    def drain_events(self, timeout: float | None = None) -> None:
        """Take what the broker says.

        :param timeout: seconds; without it the broker owes an answer.
        :raises TimeoutError: nothing came within *timeout*.
        :raises amqp.RecoverableConnectionError: the broker owes an answer and is silent.
        """
        owed = timeout is None
        started = time.monotonic()
        until = started + ((self.patience or CONFIRM_TIMEOUT) if timeout is None else timeout)
        try:
            # A heartbeat is no event.
            while not self._read(until):
                if interrupted():
                    until = min(until, started + SHUTDOWN_TIMEOUT)
        except TimeoutError:
            if not owed:
                raise
            # Whatever it says later would be taken for the answer to something else.
            self.collect()
            raise amqp.RecoverableConnectionError(
                f"the broker did not answer within {CONFIRM_TIMEOUT:g} s"
            ) from None

    def _read(self, until: float) -> bool:
        """Take what comes next; False: nothing that matters, and there is time left.

        :raises TimeoutError: there is none.
        """
        left = max(until - time.monotonic(), 0)
        try:
            return bool(self.blocking_read(min(left, _LOOK)))
        except TimeoutError:
            if left <= _LOOK:
                raise
            return False

    def collect(self) -> None:
        sock = getattr(self._transport, "sock", None)
        if sock is not None:
            # TLS takes its leave, and would wait for an answer.
            with suppress(OSError):
                sock.settimeout(0)
        super().collect()

    def look(self) -> str:
        """Take what the broker said meanwhile; returns why it takes no messages, if so."""
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
