"""Run-now requests: what one may hold, checked when it is made and again when it is taken. Pure.

Anybody may write to the stream of requests, so the scheduler believes nothing in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redbeat_core.schedules.types.rrule import shown

from .codec import DecodeError, RedBeatJSONDecoder, RedBeatJSONEncoder

#: Characters of JSON that a request's args and kwargs may have: the request is kept in Redis.
MOST_JSON = 262_144
#: The most characters of a value in an event; of a longer value it has the length.
_TOLD_JSON = 2_000
#: Seconds: a request may wait for a year.
_LONGEST_WAIT = 366 * 86400.0


class RequestError(ValueError):
    """A run-now request that cannot be."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A run-now request.

    :ivar id: what the events and the message of the run carry.
    :ivar name: the entry's.
    :ivar at: when it was made, Unix seconds by the clock of who made it.
    :ivar args: in place of the entry's; None: the entry's.
    :ivar kwargs: the same.
    :ivar queue: where the message goes in place of where it would go; None: there.
    :ivar expires: seconds for which it may wait; None: what the scheduler's setting says.
    :ivar count_run: it counts as the entry's last run.
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
        """The text of the request in the stream.

        :raises RequestError: something in it is not of its type, or has no JSON form.
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
        """What is to differ from the entry, None where nothing is."""
        return {"args": self.args, "kwargs": self.kwargs, "queue": self.queue}

    def event_data(self) -> dict[str, Any]:
        """Return the data of the request's event: short, whatever the request holds."""
        data: dict[str, Any] = {"trigger": self.id, "actor": self.actor, "note": self.note}
        for key, value in self.overrides.items():
            if value is None:
                continue
            text = json.dumps(value, cls=RedBeatJSONEncoder)
            short = len(text) <= _TOLD_JSON
            data[key] = json.loads(text) if short else f"({len(text)} characters)"
        if self.expires is not None:
            data["expires"] = self.expires
        if self.count_run:
            data["count_run"] = True
        return data


def read_trigger(text: str | None, default_id: str) -> Trigger:
    """The request that *text* holds.

    :param default_id: for one that brings no id.
    :raises RequestError: it is none, with the reason.
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
    """Return the name and the id in an invalid request; empty where there is none."""
    try:
        content = json.loads(text or "")
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(content, dict):
        return "", ""
    name, id_ = (_text_or_nothing(content.get(key)) for key in ("name", "id"))
    return name, id_


def _text_or_nothing(value: object) -> str:
    return value if isinstance(value, str) and _is_utf8(value) else ""


def _check(trigger: Trigger) -> None:
    for what, text in (("id", trigger.id), ("name", trigger.name)):
        if not isinstance(text, str) or not text or not _is_text(text):
            raise RequestError(f"its {what} must be a text that is not empty, not {shown(text)}")
    if not _is_number(trigger.at) or not 0 <= trigger.at < 1e11:
        raise RequestError(f"at must be Unix seconds, not {shown(trigger.at)}")
    args, kwargs, queue, expires = trigger.args, trigger.kwargs, trigger.queue, trigger.expires
    if args is not None and not isinstance(args, list | tuple):
        raise RequestError(f'args must be a list, as in [1, "a"], not {shown(args)}')
    if kwargs is not None and not isinstance(kwargs, dict):
        raise RequestError(f'kwargs must be an object, as in {{"key": 1}}, not {shown(kwargs)}')
    if queue is not None and (not isinstance(queue, str) or not queue or not _is_utf8(queue)):
        raise RequestError(f"queue must be a text that is not empty, not {shown(queue)}")
    if expires is not None and (not _is_number(expires) or not 0 < expires <= _LONGEST_WAIT):
        raise RequestError(
            f"expires must be a number of seconds, up to {_LONGEST_WAIT:.0f}, not {shown(expires)}"
        )
    if not isinstance(trigger.count_run, bool):
        raise RequestError(f"count_run must be true or false, not {shown(trigger.count_run)}")
    for what, value in (("args", args), ("kwargs", kwargs)):
        _check_json(what, value)


def _check_json(what: str, value: Any) -> None:
    """Check that *value* survives a round trip through JSON."""
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
    """Whether Redis accepts the text: a name may hold bytes that are no UTF-8."""
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
