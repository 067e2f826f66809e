"""Which names an entry may have. Pure."""

from __future__ import annotations


class InvalidNameError(ValueError):
    """An entry name that cannot be stored."""


def check_name(name: str) -> str:
    """Return *name* if an entry may have it.

    :raises InvalidNameError: it is empty or starts with ``:``.
    """
    if not name:
        raise InvalidNameError("an entry needs a name: the name given is empty")
    if name.startswith(":"):
        raise InvalidNameError(
            f"the entry name {name!r} starts with ':', which is reserved for the scheduler's own "
            "keys; choose a name that starts with another character"
        )
    return name
