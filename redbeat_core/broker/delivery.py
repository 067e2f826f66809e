"""The delivery modes, and the result of publishing one message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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
