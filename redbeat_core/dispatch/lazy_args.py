"""Evaluates lazy arguments at each run: ``celery.beat.BeatLazyFunc`` in ``beat_schedule``.

Redis stores only a readable text of the call, never the function to call. A beat calls only the
function that its own code has at the same position of the same entry. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from celery.beat import BeatLazyFunc

from redbeat_core.storage.errors import error_text

#: The ``__type__`` of the object that replaces a function in Redis; celery-redbeat sends this
#: object unchanged.
_TYPE = "lazy"
_FIELDS = {"__type__", "call"}
#: The longest text of a call, in characters.
_MAX_CALL_LENGTH = 200
#: Matches the memory address in the repr of an object, which differs in each process.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class LazyArgumentError(Exception):
    """A lazy argument cannot be evaluated; the message gives the reason."""


def is_lazy(value: object) -> bool:
    """Whether *value*, an argument in a definition, stands for a function."""
    return type(value) is dict and value.get("__type__") == _TYPE and value.keys() == _FIELDS


def has_lazy(args: Any, kwargs: Any) -> bool:
    """Whether one of these arguments stands for a function.

    As in Celery, a function inside another argument is not evaluated.
    """
    return any(map(is_lazy, args or ())) or any(map(is_lazy, (kwargs or {}).values()))


class LazyArguments:
    """The functions in the arguments of entries, as the code of one beat has them."""

    def __init__(self) -> None:
        #: By entry name and position: the stored object, and the function for which it stands.
        self._functions: dict[str, dict[int | str, tuple[dict[str, str], BeatLazyFunc]]] = {}

    def taken_from(self, entry: Any) -> Any:
        """Return *entry* as it is stored, with an object in place of each function.

        This object keeps the functions for :meth:`evaluated`.
        """
        functions = {
            position: (_stored(value), value)
            for position, value in _positions(entry.args, entry.kwargs)
            if isinstance(value, BeatLazyFunc)
        }
        self._functions[entry.name] = functions
        if functions:
            stored = {position: obj for position, (obj, _) in functions.items()}
            # A copy, because *entry* may belong to the app's code, which needs its functions
            # again. Not copy.copy(): it uses the pickled form of an entry, which is Celery's own.
            copy = object.__new__(type(entry))
            vars(copy).update(vars(entry))
            copy.args, copy.kwargs = _replaced(entry.args, entry.kwargs, stored)
            return copy
        return entry

    def evaluated(self, name: str, args: Any, kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments of a run of the entry *name* with all lazy arguments evaluated.

        :raises LazyArgumentError: the code of this beat does not have the function at the same
            position, or the function raised an error; the message gives the reason.
        """
        functions = self._functions.get(name, {})
        values: dict[int | str, Any] = {}
        for position, value in _positions(args, kwargs):
            if not is_lazy(value):
                continue
            stored, function = functions.get(position, (None, None))
            if function is None or stored != value:
                raise LazyArgumentError(
                    f"its argument {position!r} is to come from {value['call']}, which the "
                    "beat_schedule of this beat does not have there: does it run other code?"
                )
            try:
                values[position] = function()
            except Exception as exc:
                raise LazyArgumentError(
                    f"its argument {position!r}, {value['call']}, raised {type(exc).__name__}: "
                    f"{error_text(exc)}"
                ) from exc
        return _replaced(args, kwargs, values)


def _positions(args: Any, kwargs: Any) -> Iterator[tuple[int | str, Any]]:
    """Yield each argument with its index or its keyword."""
    yield from enumerate(args or ())
    yield from (kwargs or {}).items()


def _replaced(
    args: Any, kwargs: Any, values: Mapping[int | str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments, with *values* in place of those at the same positions."""
    return (
        [values.get(position, value) for position, value in enumerate(args or ())],
        {name: values.get(name, value) for name, value in (kwargs or {}).items()},
    )


def _stored(lazy: BeatLazyFunc) -> dict[str, str]:
    params = getattr(lazy, "_func_params", {})
    text = _call(getattr(lazy, "_func", lazy), params.get("args", ()), params.get("kwargs", {}))
    if len(text) > _MAX_CALL_LENGTH:
        text = text[: _MAX_CALL_LENGTH - 1] + "…"
    return {"__type__": _TYPE, "call": text}


def _call(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    if isinstance(function, partial):
        return _call(function.func, (*function.args, *args), {**function.keywords, **kwargs})
    texts = [*map(_text, args), *(f"{name}={_text(value)}" for name, value in kwargs.items())]
    return f"{_name(function)}({', '.join(texts)})"


def _name(function: Any) -> str:
    owner = getattr(function, "__self__", None)
    named = function if hasattr(function, "__qualname__") else type(function)
    module = getattr(named, "__module__", None) or getattr(owner, "__module__", None)
    return f"{module}.{named.__qualname__}" if module else str(named.__qualname__)


def _text(value: Any) -> str:
    """Return the text of an argument, the same in each process that runs the same code."""
    if isinstance(value, set | frozenset):
        # The order of the items differs in each process, so the text has no items.
        return f"{type(value).__name__}(...)"
    if callable(value):
        return _name(value)
    try:
        return _ADDRESS.sub("", repr(value))
    except Exception:
        return f"{type(value).__name__}(...)"
