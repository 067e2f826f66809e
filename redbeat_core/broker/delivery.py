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
    """What the broker said of one message.

    :ivar message: the message's correlation id, by which a returned one is known.
    :ivar taken: the broker has it.
    :ivar refusal: why it has it not, or may not have it; empty while that is open.
    """

    message: object
    taken: bool = False
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What came of publishing one entry.

    :ivar task_id: the id of the message.
    :ivar commands: what puts it into the broker, when it was collected.
    :ivar error: why it could not be published; empty when it was.
    :ivar broker_down: the reason lies with the broker, not with the entry.
    :ivar receipts: the broker's confirmations, final after ``Publisher.wait_for_confirms``.
    """

    task_id: str
    commands: Commands
    error: str = ""
    broker_down: bool = False
    receipts: Sequence[Confirmation] = field(default=(), compare=False)
