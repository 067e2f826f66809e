"""MessageTemplate: a message as constant text with places for what a run fills in. Pure."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celery.utils.saferepr import saferepr
from kombu.utils import json as kombu_json

_dumps: Any = kombu_json.dumps
quoted = json.encoder.encode_basestring_ascii
#: The places of a message; the id is in it three times.
_PLACES = ("body", "id", "argsrepr", "kwargsrepr", "header", "tag", "eta", "expires")
#: By content type the serializers whose body is the same for the same arguments.
_SERIALIZERS = {"application/json": "json", "application/x-python-serialize": "pickle"}
#: Seconds by which the time in a message may differ from the one that is worked out after it.
_CLOSE = 5.0
#: Options that may be a number of seconds from now.
_SECONDS = frozenset({"countdown", "expires"})
#: Types whose ``str()`` is what ``saferepr`` writes.
_PLAIN = frozenset({int, float, bool, type(None)})


@dataclass(frozen=True, slots=True)
class MessageRun:
    """The values in which the messages of one kind differ.

    :ivar text: the entry's definition as stored.
    :ivar kind: the kind of the message, see ``kind_of`` in ``due_entry.py``.
    :ivar nominal: Unix seconds.
    """

    text: str
    definition: dict[str, Any]
    kind: str
    task_id: str
    nominal: float


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """A message in pieces.

    :ivar database: number of the broker's database.
    :ivar queue: the key of the queue's list.
    :ivar pieces: by turns a constant text and the name of the place after it.
    :ivar serializer: the name of the body's serializer.
    :ivar task: the task's name.
    :ivar seconds: the options that are a number of seconds from now.
    :ivar embed: callbacks, errbacks, chain and chord, of which there are none.
    """

    database: int
    queue: str
    pieces: tuple[str, ...]
    serializer: str
    task: str
    seconds: Mapping[str, float]
    embed: Mapping[str, None]

    def render(self, values: Mapping[str, str]) -> list[tuple[int, Sequence[str]]]:
        """The broker command of a message with these *values*, by place."""
        pieces = list(self.pieces)
        pieces[1::2] = [values[name] for name in pieces[1::2]]
        return [(self.database, ("LPUSH", self.queue, "".join(pieces)))]


@dataclass(frozen=True, slots=True)
class EncodedArguments:
    """The parts of a message that come from its entry, as JSON texts.

    :ivar header: the start of the header ``redbeat``: all but the nominal time.
    """

    body: str
    argsrepr: str
    kwargsrepr: str
    header: str

    @property
    def size(self) -> int:
        """Characters, about."""
        texts = self.body, self.argsrepr, self.kwargsrepr, self.header
        return sum(map(len, texts)) + 500


def make_template(
    commands: Any, task_id: str, options: Mapping[str, Any], serializers: tuple[str, ...]
) -> MessageTemplate | None:
    """Take a message of Celery's apart; None: this kind of message has no template.

    :param commands: the broker commands that Celery's path made.
    :param options: the entry's options.
    :param serializers: names of those whose body is known to depend on the arguments alone.
    """
    if len(commands) != 1 or len(commands[0][1]) != 3 or commands[0][1][0] != "LPUSH":
        return None
    database, (_, queue, payload) = commands[0]
    message = json.loads(payload)
    headers, properties = message["headers"], message["properties"]
    serializer = _SERIALIZERS.get(message["content-type"], "")
    seconds = seconds_from_now(options)
    plain = (
        serializer in serializers
        and properties.get("body_encoding") == "base64"
        and "compression" not in headers
        # Which queues an exchange leads to may change at any time.
        and not properties["delivery_info"]["exchange"]
        and (headers.get("eta") is not None) == ("countdown" in seconds)
        and (headers.get("expires") is not None) == ("expires" in seconds)
        and headers["id"] == headers["root_id"] == properties["correlation_id"] == task_id
    )
    if not plain:
        return None
    task = headers["task"]
    marks = {name: f"@{name}:{secrets.token_hex(16)}@" for name in _PLACES}
    message["body"] = marks["body"]
    headers |= {"id": marks["id"], "root_id": marks["id"], "redbeat": marks["header"]}
    headers |= {name: marks[name] for name in ("argsrepr", "kwargsrepr")}
    headers |= {name: marks[name] for name in ("eta", "expires") if headers.get(name)}
    properties |= {"correlation_id": marks["id"], "delivery_tag": marks["tag"]}
    pattern = "|".join(f'"@({name}):{mark[-33:-1]}@"' for name, mark in marks.items())
    pieces = tuple(piece for piece in re.split(pattern, _dumps(message)) if piece is not None)
    embed = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))
    return MessageTemplate(database, queue, pieces, serializer, task, seconds, embed)


def arguments_of(definition: Mapping[str, Any]) -> str:
    """The arguments as text, to compare them."""
    return repr((definition.get("args") or (), definition.get("kwargs") or {}))


def seconds_from_now(options: Mapping[str, Any]) -> dict[str, float]:
    """Those of *options* that are a positive number of seconds from now."""
    given = {name: options[name] for name in _SECONDS if name in options}
    return {
        name: value for name, value in given.items() if type(value) in (int, float) and value > 0
    }


def has_only_seconds(options: Mapping[str, Any]) -> bool:
    """Whether all times among *options* are a positive number of seconds from now."""
    return len(seconds_from_now(options)) == len(_SECONDS.intersection(options))


def written_alike(given: str, expected: str) -> str:
    """*given*, if it is a time close to *expected* and written alike.

    :raises ValueError: it is not.
    """
    there, here = datetime.fromisoformat(given), datetime.fromisoformat(expected)
    apart = abs((there - here).total_seconds())
    if apart > _CLOSE or there.utcoffset() != here.utcoffset():
        raise ValueError(f"{given} is not {expected}")
    return given


def argument_text(value: Any, most: int, **levels: Any) -> str:
    """Return ``saferepr(value, most, **levels)``, faster where the value is plain.

    Celery writes the text of arguments into a message's headers with ``saferepr``, which is made
    for values of any kind, size and depth, and takes longer than anything else about a message.
    Arguments are most often a few numbers and short texts.

    :param value: a tuple, list or dict of arguments.
    :param most: the most characters; from there on ``saferepr`` leaves out what it likes.
    """
    plain = _plain_text(value)
    # At its limits saferepr decides in the midst of things: leave that to it.
    if plain is None or not most or len(plain) >= most or levels.get("maxlevels", 3) < 2:
        whole: str = saferepr(value, most, **levels)
        return whole
    return plain


def _plain_text(value: Any) -> str | None:
    kind = type(value)
    if kind is dict:
        pairs = []
        for key, item in value.items():
            name, text = _scalar_text(key), _scalar_text(item)
            if name is None or text is None or type(key) is not str:
                return None
            pairs.append(f"{name}: {text}")
        return "{" + ", ".join(pairs) + "}"
    if kind is not tuple and kind is not list:
        return None
    texts = []
    for item in value:
        text = _scalar_text(item)
        if text is None:
            return None
        texts.append(text)
    inner = ", ".join(texts)
    if kind is list:
        return f"[{inner}]"
    return f"({inner},)" if len(texts) == 1 else f"({inner})"


def _scalar_text(value: Any) -> str | None:
    kind = type(value)
    if kind in _PLAIN:
        return str(value)
    if kind is str and "'" not in value:
        return f"'{value}'"
    return None
