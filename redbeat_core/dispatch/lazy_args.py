"""Arguments that are computed at each run: ``celery.beat.BeatLazyFunc`` in ``beat_schedule``.

Redis holds the name of such a function, for people to read, and never code: a beat calls only the
function that its own code has at that place of that entry. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from celery.beat import BeatLazyFunc

from redbeat_core.storage.errors import error_text

#: ``__type__`` of what is stored in place of a function; celery-redbeat sends it as it is.
_TYPE = "lazy"
_FIELDS = {"__type__", "call"}
#: How long the text of a call may be.
_MOST = 200
#: Texts of objects hold their place in memory, which is another one in each process.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class LazyArgumentError(Exception):
    """An argument cannot be computed; the message says why."""


def is_lazy(value: object) -> bool:
    """Whether *value*, of a definition, takes the place of a function."""
    return type(value) is dict and value.get("__type__") == _TYPE and value.keys() == _FIELDS


def has_lazy(args: Any, kwargs: Any) -> bool:
    """Whether a function takes the place of one of these arguments. As in Celery, a function within
    another argument does not count.
    """
    return any(map(is_lazy, args or ())) or any(map(is_lazy, (kwargs or {}).values()))


class LazyArguments:
    """The functions that the code of one beat has in the arguments of its entries."""

    def __init__(self) -> None:
        self._known: dict[str, dict[int | str, tuple[dict[str, str], BeatLazyFunc]]] = {}

    def taken_from(self, entry: Any) -> Any:
        """Return *entry* as it is stored, with a text in place of each function, and keep the
        functions.
        """
        functions = {
            place: (_stored(value), value)
            for place, value in _places(entry.args, entry.kwargs)
            if isinstance(value, BeatLazyFunc)
        }
        self._known[entry.name] = functions
        if functions:
            texts = {place: text for place, (text, _) in functions.items()}
            # It may be the code's own, which is asked again. Not copy(): an entry is copied as it
            # is pickled, in Celery's own form.
            made = object.__new__(type(entry))
            vars(made).update(vars(entry))
            made.args, made.kwargs = _changed(entry.args, entry.kwargs, texts)
            return made
        return entry

    def evaluated(self, name: str, args: Any, kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
        """Compute the arguments of a run of the entry *name*.

        :raises LazyArgumentError: the code of this beat has no such function there, or the
            function raised; with the reason.
        """
        functions = self._known.get(name, {})
        values: dict[int | str, Any] = {}
        for place, value in _places(args, kwargs):
            if not is_lazy(value):
                continue
            stored, function = functions.get(place, (None, None))
            if function is None or stored != value:
                raise LazyArgumentError(
                    f"its argument {place!r} is to come from {value['call']}, which the "
                    "beat_schedule of this beat does not have there: does it run other code?"
                )
            try:
                values[place] = function()
            except Exception as exc:
                raise LazyArgumentError(
                    f"its argument {place!r}, {value['call']}, raised {type(exc).__name__}: "
                    f"{error_text(exc)}"
                ) from exc
        return _changed(args, kwargs, values)


def _places(args: Any, kwargs: Any) -> Iterator[tuple[int | str, Any]]:
    yield from enumerate(args or ())
    yield from (kwargs or {}).items()


def _changed(
    args: Any, kwargs: Any, values: Mapping[int | str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    return (
        [values.get(place, value) for place, value in enumerate(args or ())],
        {name: values.get(name, value) for name, value in (kwargs or {}).items()},
    )


def _stored(lazy: BeatLazyFunc) -> dict[str, str]:
    params = getattr(lazy, "_func_params", {})
    text = _call(getattr(lazy, "_func", lazy), params.get("args", ()), params.get("kwargs", {}))
    return {"__type__": _TYPE, "call": text if len(text) <= _MOST else text[: _MOST - 1] + "…"}


def _call(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    if isinstance(function, partial):
        return _call(function.func, (*function.args, *args), {**function.keywords, **kwargs})
    words = [*map(_text, args), *(f"{name}={_text(value)}" for name, value in kwargs.items())]
    return f"{_name(function)}({', '.join(words)})"


def _name(function: Any) -> str:
    owner = getattr(function, "__self__", None)
    named = function if hasattr(function, "__qualname__") else type(function)
    module = getattr(named, "__module__", None) or getattr(owner, "__module__", None)
    return f"{module}.{named.__qualname__}" if module else str(named.__qualname__)


def _text(value: Any) -> str:
    """An argument's text, the same in each process that has the same code."""
    if isinstance(value, set | frozenset):
        # In whatever order they are, which is another one in each process.
        return f"{type(value).__name__}(...)"
    if callable(value):
        return _name(value)
    try:
        return _ADDRESS.sub("", repr(value))
    except Exception:
        return f"{type(value).__name__}(...)"
