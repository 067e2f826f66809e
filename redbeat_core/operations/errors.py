"""Why an operation is refused: one class a reason, each with a sentence for the operator."""

from __future__ import annotations

from redbeat_core.entries.record import EntryRecord


class OperationError(Exception):
    """An operation that was refused; the message says why. Nothing was written."""


class ReadOnlyError(OperationError):
    """Writing is switched off."""


class NotFoundError(OperationError):
    """There is no such entry."""


class InvalidEntryError(OperationError):
    """The entry (or what it would become) cannot run."""


class InvalidRequestError(OperationError):
    """A run-now request that cannot be."""


class TooManyRequestsError(OperationError):
    """So many run-now requests wait that no more are taken."""


class ConflictError(OperationError):
    """The entry is no longer what the operator saw.

    :ivar seen_version: the version that the operator saw.
    :ivar current: the entry as it is now; None when it is gone.
    """

    def __init__(self, name: str, seen_version: str, current: EntryRecord | None) -> None:
        what = "is gone" if current is None else "was changed by somebody else"
        super().__init__(
            f"{name!r} {what} since you saw it; nothing was written. Look at it again and repeat"
        )
        self.seen_version = seen_version
        self.current = current
