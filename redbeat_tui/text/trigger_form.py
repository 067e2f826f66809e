"""Reads the args, kwargs and queue that an operator types for one run on request. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redbeat_core.entries.codec import RedBeatJSONEncoder
from redbeat_core.entries.view import EntryView

from .sanitize import clean

#: The most characters of a value that a field offers for editing; a longer value is only replaced.
_EDITABLE = 2_000


@dataclass(frozen=True, slots=True)
class Typed:
    """A field of the dialog.

    :ivar key: ``args``, ``kwargs`` or ``queue``.
    :ivar text: its content at first.
    :ivar hint: the text that it shows while it is empty.
    """

    key: str
    text: str
    hint: str


class TypedWrongError(ValueError):
    """The typed text is not a valid value; the message says why."""


def fields_of(view: EntryView) -> tuple[Typed, ...]:
    """Return the fields for a run of *view*, filled with the entry's own values."""
    queue = view.options.get("queue")
    own_queue = queue if isinstance(queue, str) and clean(queue) == queue else ""
    return (
        _json("args", list(view.args or ()), 'a list, as in [1, "a"]'),
        _json("kwargs", dict(view.kwargs or {}), 'an object, as in {"key": 1}'),
        Typed("queue", own_queue, "where the entry's runs go"),
    )


def _json(key: str, value: Any, form: str) -> Typed:
    for ascii_only in (False, True):
        text = json.dumps(value, cls=RedBeatJSONEncoder, ensure_ascii=ascii_only)
        # A text that sanitizing changes cannot be edited: the field would hold the replacement.
        if len(text) <= _EDITABLE and clean(text) == text:
            return Typed(key, text, f"the entry's own, or {form}")
    return Typed(key, "", f"the entry's own {len(text)} characters, or {form}")


def overrides(fields: tuple[Typed, ...], typed: Mapping[str, str]) -> dict[str, Any]:
    """Return the values that differ from the entry's own, as keyword arguments for
    :meth:`redbeat_core.operations.Operations.trigger`.

    :param typed: text by the fields' keys; unchanged or empty, it means the entry's own value.
    :raises TypedWrongError: with the reason.
    """
    values: dict[str, Any] = {}
    for field in fields:
        text = typed.get(field.key, "").strip()
        if not text or text == field.text:
            continue
        values[field.key] = text if field.key == "queue" else read_json(field.key, text)
    return values


def read_json(key: str, text: str) -> Any:
    """Parse the args (a list) or kwargs (an object) that were typed as *text*.

    :raises TypedWrongError: with the reason.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as exc:
        what = exc.msg.removesuffix(" at")
        raise TypedWrongError(f"{key} is not JSON: {what} at character {exc.pos + 1}") from None
    except (ValueError, RecursionError):
        raise TypedWrongError(f"{key} is no JSON that can be read") from None
    if key == "args" and not isinstance(value, list):
        raise TypedWrongError('args must be a list, as in [1, "a"]')
    if key == "kwargs" and not isinstance(value, dict):
        raise TypedWrongError('kwargs must be an object, as in {"key": 1}')
    return value
