"""Writes and reads run-now requests, and checks their fields in both directions. Pure.

Any program may write to the stream of requests, so the scheduler checks each request again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redbeat_core.schedules.types.rrule import shown

from .codec import DecodeError, RedBeatJSONDecoder, RedBeatJSONEncoder

#: The most characters of JSON in a request's args, and in its kwargs: Redis stores the request.
MOST_JSON = 262_144
#: The most characters of a value in an event; for a longer value the event has only its length.
_MAX_EVENT_JSON = 2_000
#: The longest time that a request may wait, in seconds: a year.
_MAX_WAIT = 366 * 86400.0


class RequestError(ValueError):
    """A run-now request is invalid; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A run-now request.

    :ivar id: the request's id, which the events and the message of the run carry.
    :ivar name: the name of the entry.
    :ivar at: the time of the request, in Unix seconds by the clock of the program that made it.
    :ivar args: replace the entry's args; None: the entry's args.
    :ivar kwargs: replace the entry's kwargs; None: the entry's kwargs.
    :ivar queue: replaces the queue of the message; None: the queue of a scheduled run.
    :ivar expires: seconds that the request may wait; None: the scheduler's setting.
    :ivar count_run: whether the run counts as the entry's last run.
    :ivar actor: the person or program that made the request.
    :ivar note: a free text by the actor.
    """

    id: str
    name: str
    at: float
    args: Sequence[Any] | None = None
    kwargs: Mapping[str, Any] | None = None
    queue: str | None = None
    expires: float | None = None
    count_run: bool = False
    actor: str = field(default="", kw_only=True)
    note: str = field(default="", kw_only=True)

    def as_json(self) -> str:
        """Return the text of the request in the stream.

        :raises RequestError: a field has a wrong type, or no JSON form.
        """
        _check(self)
        content: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "actor": self.actor,
            "note": self.note,
            "at": self.at,
        }
        content |= {key: value for key, value in self.overrides.items() if value is not None}
        if self.expires is not None:
            content["expires"] = self.expires
        if self.count_run:
            content["count_run"] = True
        try:
            return json.dumps(content, cls=RedBeatJSONEncoder, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as exc:
            raise RequestError(f"the request has no JSON form: {exc}") from None

    @property
    def overrides(self) -> dict[str, Any]:
        """The values that replace the entry's; None: the entry's value applies."""
        return {"args": self.args, "kwargs": self.kwargs, "queue": self.queue}

    def event_data(self) -> dict[str, Any]:
        """Return the fields of the request for an event; long values are shortened."""
        data: dict[str, Any] = {"trigger": self.id, "actor": self.actor, "note": self.note}
        for key, value in self.overrides.items():
            if value is None:
                continue
            text = json.dumps(value, cls=RedBeatJSONEncoder)
            short = len(text) <= _MAX_EVENT_JSON
            data[key] = json.loads(text) if short else f"({len(text)} characters)"
        if self.expires is not None:
            data["expires"] = self.expires
        if self.count_run:
            data["count_run"] = True
        return data


def read_trigger(text: str | None, default_id: str) -> Trigger:
    """Parse the request *text*.

    :param default_id: the id for a request without one.
    :raises RequestError: *text* is no valid request; the message gives the reason.
    """
    try:
        content = json.loads(text or "", cls=RedBeatJSONDecoder)
    except DecodeError as exc:
        raise RequestError(str(exc)) from None
    except (ValueError, RecursionError):
        raise RequestError("it is not JSON") from None
    if not isinstance(content, dict):
        raise RequestError("it is no JSON object")
    if not isinstance(content.get("name"), str):
        raise RequestError("it names no entry")
    fields = {key: content.get(key) for key in ("at", "args", "kwargs", "queue", "expires")}
    trigger = Trigger(
        id=content.get("id") or default_id,
        name=content["name"],
        count_run=content.get("count_run", False),
        **fields,  # type: ignore[arg-type]
    )
    _check(trigger)
    return trigger


def subject_of(text: str | None) -> tuple[str, str]:
    """Return the name and the id in an invalid request; empty for each that is missing."""
    try:
        content = json.loads(text or "")
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(content, dict):
        return "", ""
    return _text_or_empty(content.get("name")), _text_or_empty(content.get("id"))


def _text_or_empty(value: object) -> str:
    return value if isinstance(value, str) and _is_utf8(value) else ""


def _check(trigger: Trigger) -> None:
    for field_name, text in (("id", trigger.id), ("name", trigger.name)):
        if not isinstance(text, str) or not text or not _is_text(text):
            raise RequestError(
                f"its {field_name} must be a text that is not empty, not {shown(text)}"
            )
    if not _is_number(trigger.at) or not 0 <= trigger.at < 1e11:
        raise RequestError(f"at must be Unix seconds, not {shown(trigger.at)}")
    args = trigger.args
    kwargs = trigger.kwargs
    queue = trigger.queue
    expires = trigger.expires
    if args is not None and not isinstance(args, list | tuple):
        raise RequestError(f'args must be a list, as in [1, "a"], not {shown(args)}')
    if kwargs is not None and not isinstance(kwargs, dict):
        raise RequestError(f'kwargs must be an object, as in {{"key": 1}}, not {shown(kwargs)}')
    if queue is not None and (not isinstance(queue, str) or not queue or not _is_utf8(queue)):
        raise RequestError(f"queue must be a text that is not empty, not {shown(queue)}")
    if expires is not None and (not _is_number(expires) or not 0 < expires <= _MAX_WAIT):
        raise RequestError(
            f"expires must be a number of seconds, up to {_MAX_WAIT:.0f}, not {shown(expires)}"
        )
    if not isinstance(trigger.count_run, bool):
        raise RequestError(f"count_run must be true or false, not {shown(trigger.count_run)}")
    for what, value in (("args", args), ("kwargs", kwargs)):
        _check_json(what, value)


def _check_json(what: str, value: Any) -> None:
    """Check that JSON can store *value* and return it unchanged.

    :raises RequestError: JSON cannot; the message names the field *what*.
    """
    if value is None:
        return
    try:
        _check_keys(what, value)
        text = json.dumps(value, cls=RedBeatJSONEncoder, allow_nan=False)
        json.loads(text, cls=RedBeatJSONDecoder)
    except RequestError:
        raise
    except (TypeError, ValueError, RecursionError) as exc:
        raise RequestError(f"{what} cannot be written as JSON: {exc}") from None
    if len(text) > MOST_JSON:
        raise RequestError(
            f"{what} have {len(text)} characters of JSON; a request takes {MOST_JSON} at most"
        )


def _check_keys(what: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise RequestError(
                    f"{what} must have texts as keys, as JSON has them, not {shown(key)}"
                )
            _check_text(what, key)
            _check_keys(what, inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_keys(what, inner)
    elif isinstance(value, str):
        _check_text(what, value)


def _check_text(what: str, value: str) -> None:
    if not _is_utf8(value):
        raise RequestError(f"{what} hold half a character: {shown(value)}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_text(value: str) -> bool:
    """Whether *value* can be a name in Redis, which may have bytes that are not UTF-8."""
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
