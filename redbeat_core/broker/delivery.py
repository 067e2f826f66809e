"""The three delivery modes, the result of publishing, and the contract of a connection to a broker.

Each kind of broker fulfils the contract in its own module: ``redis_publish``, ``rabbitmq``, and
``unconfirmed`` for every other transport of kombu.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .redis_capture import Commands

EXACTLY_ONCE = "exactly-once"
AT_LEAST_ONCE = "at-least-once"
AT_MOST_ONCE = "at-most-once"


@dataclass(slots=True)
class Confirmation:
    """The broker's confirmation of one message.

    :ivar message: the message's correlation id, which identifies a returned message.
    :ivar taken: the broker has accepted the message.
    :ivar refusal: why the broker refused it, or why this is unknown; empty until then.
    """

    message: object
    taken: bool = False
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class PublishResult:
    """The result of publishing the message of one run.

    :ivar task_id: the task id of the message.
    :ivar commands: the captured Redis commands that publish it; empty for other brokers.
    :ivar error: why it could not be published; empty: no error.
    :ivar broker_down: the broker caused the error, not the entry.
    :ivar receipts: the broker's confirmations, final after ``Publisher.wait_for_confirms``.
    """

    task_id: str
    commands: Commands
    error: str = ""
    broker_down: bool = False
    receipts: Sequence[Confirmation] = field(default=(), compare=False)


class BrokerLink(Protocol):
    """An open connection to a broker, of whatever kind.

    :ivar captures: messages are captured, as commands for a Redis.
    :ivar in_commit: the commit executes the captured commands: the broker is the schedule's server.
    """

    captures: bool
    in_commit: bool

    def begin_message(
        self, commands: Commands, receipts: list[Confirmation], *, alone: bool
    ) -> None:
        """Prepare for one message.

        :param commands: receives its commands, if they are captured.
        :param receipts: receives its confirmations, if the broker confirms.
        :param alone: first wait for the confirmations of all other messages.
        """

    def end_message(self, *, alone: bool) -> None:
        """The message is published; *alone*: wait for its confirmation."""

    def confirm(
        self, results: Sequence[PublishResult], *, push: bool
    ) -> tuple[list[PublishResult], str]:
        """Send what is only captured, and wait for the confirmations of all messages.

        :param push: False: send nothing.
        :returns: the results, and the error that made the connection unusable, if any.
        """

    def is_whole(self) -> bool:
        """Whether the producer still has a live channel of the kind it was made with."""

    def is_blocked(self) -> bool:
        """Whether the broker blocks publishers at present, on a live connection."""

    def error(self) -> str:
        """Return why the connection, idle so far, cannot take messages; empty: it can."""

    def is_broker_error(self, exc: BaseException | None) -> bool:
        """Whether the broker caused *exc*, and not the message, on a live connection."""

    def begin_close(self, reason: str) -> None:
        """Prepare for closing; *reason* is the error that made it unusable, if any."""


def whole_channel(producer: Any) -> Any:
    """The channel of *producer*; None where an error has left it without a live one."""
    channel = producer.channel
    return channel if getattr(channel, "connection", None) is not None else None
