"""The errors of refused operations: one class per reason, with a sentence for the operator."""

from __future__ import annotations

from redbeat_core.entries.record import EntryRecord


class OperationError(Exception):
    """The operation is refused; the message states the reason. Nothing was written."""


class ReadOnlyError(OperationError):
    """The operations are read-only: changes are not allowed."""


class NotFoundError(OperationError):
    """The entry does not exist."""


class InvalidEntryError(OperationError):
    """The entry is invalid, or the change would make it invalid."""


class InvalidRequestError(OperationError):
    """The run-now request is invalid."""


class TooManyRequestsError(OperationError):
    """Too many run-now requests wait already."""


class ConflictError(OperationError):
    """The entry changed after the operator read it.

    :ivar seen_version: the version that the operator read.
    :ivar current: the entry as it is now; None: it does not exist any more.
    """

    def __init__(self, name: str, seen_version: str, current: EntryRecord | None) -> None:
        reason = "is gone" if current is None else "was changed by somebody else"
        super().__init__(
            f"{name!r} {reason} since you saw it; nothing was written. Look at it again and repeat"
        )
        self.seen_version = seen_version
        self.current = current
