"""The operations of an operator on an entry; each is one atomic call with its event."""

from __future__ import annotations

from .commands import (
    TRIGGER_EXPIRES,
    ConflictError,
    InvalidEntryError,
    InvalidRequestError,
    NotFoundError,
    OperationError,
    Operations,
    ReadOnlyError,
    TooManyRequestsError,
    default_actor,
)

__all__ = [
    "TRIGGER_EXPIRES",
    "ConflictError",
    "InvalidEntryError",
    "InvalidRequestError",
    "NotFoundError",
    "OperationError",
    "Operations",
    "ReadOnlyError",
    "TooManyRequestsError",
    "default_actor",
]
