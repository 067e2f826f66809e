"""Publishing through kombu's other transports, which capture nothing and confirm nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .delivery import Confirmation, PublishResult, whole_channel
from .redis_capture import Commands


class UnconfirmedLink:
    """A connection to a broker that is neither Redis nor RabbitMQ."""

    captures = False

    def __init__(self, producer: Any, errors: tuple[type[BaseException], ...]) -> None:
        self._producer = producer
        self._errors = errors
        self.in_commit = False

    def begin_message(
        self, commands: Commands, receipts: list[Confirmation], *, alone: bool
    ) -> None:
        """Nothing to prepare."""

    def end_message(self, *, alone: bool) -> None:
        """The message is published already."""

    def confirm(
        self, results: Sequence[PublishResult], *, push: bool
    ) -> tuple[list[PublishResult], str]:
        """Return *results*: what was published without an error counts."""
        return list(results), ""

    def is_whole(self) -> bool:
        return whole_channel(self._producer) is not None

    def is_blocked(self) -> bool:
        return False

    def error(self) -> str:
        return "" if self.is_whole() else "the connection to the broker was lost"

    def is_broker_error(self, exc: BaseException | None) -> bool:
        while exc is not None:
            if isinstance(exc, self._errors):
                return True
            exc = exc.__cause__ or exc.__context__
        return False

    def begin_close(self, reason: str) -> None:
        """Nothing to prepare."""
