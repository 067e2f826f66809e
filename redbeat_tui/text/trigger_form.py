"""What a run on request may be given in place of the entry's own: as text, to be typed. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redbeat_core.entries.codec import RedBeatJSONEncoder
from redbeat_core.entries.view import EntryView

from .sanitize import clean

#: Characters of a value that are offered to be changed; more is replaced as a whole.
_EDITABLE = 2_000


@dataclass(frozen=True, slots=True)
class Typed:
    """A field of the question.

    :ivar key: ``args``, ``kwargs`` or ``queue``.
    :ivar text: what it holds at first.
    :ivar hint: what it shows when it is empty.
    """

    key: str
    text: str
    hint: str


class TypedWrongError(ValueError):
    """What was typed cannot be; the message says why."""


def fields_of(view: EntryView) -> tuple[Typed, ...]:
    """The fields for a run of *view*, filled with the entry's own."""
    queue = view.options.get("queue")
    known = queue if isinstance(queue, str) and clean(queue) == queue else ""
    return (
        _json("args", list(view.args or ()), 'a list, as in [1, "a"]'),
        _json("kwargs", dict(view.kwargs or {}), 'an object, as in {"key": 1}'),
        Typed("queue", known, "where the entry's runs go"),
    )


def _json(key: str, value: Any, form: str) -> Typed:
    for ascii_only in (False, True):
        text = json.dumps(value, cls=RedBeatJSONEncoder, ensure_ascii=ascii_only)
        # What is shown otherwise than it is cannot be typed on.
        if len(text) <= _EDITABLE and clean(text) == text:
            return Typed(key, text, f"the entry's own, or {form}")
    return Typed(key, "", f"the entry's own {len(text)} characters, or {form}")


def overrides(fields: tuple[Typed, ...], typed: Mapping[str, str]) -> dict[str, Any]:
    """What differs from the entry, for :meth:`redbeat_core.operations.Operations.trigger`.

    :param typed: by the fields' keys; what is as it was, or empty, is the entry's own.
    :raises TypedWrongError: with the reason.
    """
    found: dict[str, Any] = {}
    for field in fields:
        text = typed.get(field.key, "").strip()
        if not text or text == field.text:
            continue
        found[field.key] = text if field.key == "queue" else read_json(field.key, text)
    return found


def read_json(key: str, text: str) -> Any:
    """The args (a list) or kwargs (an object) that were typed as *text*.

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
