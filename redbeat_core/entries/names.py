"""Checks the names of entries. Pure."""

from __future__ import annotations


class InvalidNameError(ValueError):
    """The name is not valid for an entry; the message gives the reason."""


def check_name(name: str) -> str:
    """Return *name* if it is valid for an entry.

    :raises InvalidNameError: *name* is empty or starts with ``:``.
    """
    if not name:
        raise InvalidNameError("an entry needs a name: the name given is empty")
    if name.startswith(":"):
        raise InvalidNameError(
            f"the entry name {name!r} starts with ':', which is reserved for the scheduler's own "
            "keys; choose a name that starts with another character"
        )
    return name
