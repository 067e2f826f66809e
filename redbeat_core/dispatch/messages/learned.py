"""Messages made by filling a form, where that gives the same message as Celery's own path.

Most of the time in Celery's publishing path goes into working out anew what is the same for every
message of a task with the same options. Here one message of each such kind is taken apart into a
form, a second one is made both ways and compared, and from then on the form is filled: with other
arguments than the first one's, once a message with others was compared. Whatever a
form cannot give (times in the message, signal receivers that must be called, custom routers or
``apply_async``) keeps to Celery's own path.
"""

from __future__ import annotations

import json
import re
import secrets
import time
import uuid
from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from celery import signals
from kombu import serialization
from kombu.utils import json as kombu_json

from redbeat_core.broker.delivery import PublishResult
from redbeat_core.broker.redis_capture import Commands
from redbeat_core.dispatch.context import BeatContext
from redbeat_core.dispatch.lazy_args import has_lazy
from redbeat_core.entry import RedBeatSchedulerEntry

from .celery_hooks import is_called_as_celerys, sends_as_celery
from .plain_repr import argument_text
from .template import EncodedArguments, MessageTemplate, Run, arguments_of

_dumps: Any = kombu_json.dumps
_quoted = json.encoder.encode_basestring_ascii
#: Options that say the same in every message of an entry; but for the times that come of a number
#: of seconds, which a form has places for.
_CONSTANT = frozenset(
    {
        "countdown",
        "exchange",
        "expires",
        "headers",
        "ignore_result",
        "priority",
        "queue",
        "retry",
        "retry_policy",
        "routing_key",
        "serializer",
        "soft_time_limit",
        "time_limit",
    }
)
#: Seconds after which a form is made and compared anew: settings may change while beat runs.
FRESH = 60.0
#: How far a form is that there is not.
NO_TEMPLATE = "nothing"
#: How many forms, and how many characters of entries' contents, are kept.
FORMS, _CONTENTS = 2000, 50_000_000
#: What varies in a message; the id is in it three times.
_PARTS = ("body", "id", "argsrepr", "kwargsrepr", "header", "tag", "eta", "expires")
#: By content type the serializers whose body is the same for the same arguments.
_SERIALIZERS = {"application/json": "json", "application/x-python-serialize": "pickle"}
#: Seconds by which the time in a message may differ from the one that is worked out after it.
_CLOSE = 5.0


@dataclass
class TemplateCache:
    """The forms of one scheduler."""

    context: BeatContext
    _forms: dict[str, MessageTemplate] = field(default_factory=dict)
    #: By definition, each with the form it was made for.
    _contents: dict[str, tuple[MessageTemplate, EncodedArguments]] = field(default_factory=dict)
    _characters: int = 0
    _encode: Any = None
    _serializers: tuple[str, ...] = ()
    _embed: tuple[Any, str] = (None, "null")
    limits: tuple[int, int, dict[str, int]] = (0, 0, {})
    #: Whether in this batch Celery alone makes messages, but for receivers; and forms may be used.
    celerys: bool = False
    usable: bool = False

    def begin_batch(self) -> None:
        """Look whether forms may be used now; signal receivers may come and go."""
        app, conf = self.context.app, self.context.app.conf
        self.celerys = (
            not conf.task_always_eager
            and not conf.task_send_sent_event
            and conf.task_protocol == 2
            # One of the app's own may make of a definition what it likes.
            and self.context.entry_class is RedBeatSchedulerEntry
            and self._celery_sends()
        )
        self.usable = (
            self.celerys
            and self.context.publisher.collects
            and not signals.before_task_publish.receivers
            and not signals.after_task_publish.receivers
            and not signals.task_sent.receivers
        )
        amqp = app.amqp
        known = hasattr(conf, "task_repr_maxlevels")
        levels = {"maxlevels": conf.task_repr_maxlevels} if known else {}
        self.limits = amqp.argsrepr_maxsize, amqp.kwargsrepr_maxsize, levels
        usual = serialization.registry._encoders["json"].encoder is kombu_json.dumps
        # Where nobody put in another: kombu makes one of these for each message.
        self._encode = kombu_json.JSONEncoder().encode if usual else None
        pickle = serialization.registry._encoders.get("pickle")
        is_kombus = pickle is not None and pickle.encoder.__module__ == serialization.__name__
        self._serializers = ("json", "pickle") if is_kombus else ("json",)

    def _celery_sends(self) -> bool:
        try:
            return sends_as_celery(self.context.scheduler)
        except Exception:
            # Such as a backend that is not to be had: told when a message is published.
            return False

    def fill(self, run: Run) -> PublishResult | None:
        """The message of *run*, if its form is known and compared; else None."""
        form = self.ready(self.kind_of(run.definition)) if self.usable else None
        if form is None or not form.holds_for(run.definition):
            return None
        try:
            times = self.times_of(form)
            return PublishResult(run.task_id, self._filled(form, run, str(uuid.uuid4()), times))
        except Exception:
            # Whatever is wrong with its arguments, Celery's path says it in its own words.
            return None

    def learn(self, run: Run, commands: Commands) -> None:
        """Take a message that Celery's path made: make a form of it, or compare it."""
        if not self.usable or not self.fits(run.definition):
            return
        key = self.kind_of(run.definition)
        form = self._fresh(key)
        if form is None:
            if len(self._forms) >= FORMS:
                del self._forms[next(iter(self._forms))]
            form = self._forms[key] = MessageTemplate(
                time.monotonic(), only=arguments_of(run.definition)
            )
            self._make(form, run, commands)
        elif form.command is not None:
            known = form.holds_for(run.definition)
            if form.compared and known:
                return
            form.compared = self._same(form, run, commands)
            if not form.compared:
                form.command = None
            elif not known:
                form.only = None

    def ready(self, kind: str) -> MessageTemplate | None:
        """The form for messages of this kind, if it was compared and is the same."""
        form = self._fresh(kind)
        return form if form is not None and form.compared and form.command is not None else None

    def learning(self, kind: str, definition: Mapping[str, Any]) -> str:
        """How far this kind's form is from being filled with *definition*, whose messages may
        bring it on; empty: they will not."""
        form = self._fresh(kind)
        if form is None:
            return NO_TEMPLATE
        if form.command is None or (form.compared and form.holds_for(definition)):
            return ""
        return "compared" if form.compared else "made"

    def _fresh(self, kind: str) -> MessageTemplate | None:
        form = self._forms.get(kind)
        if form is not None and time.monotonic() - form.made_at > FRESH:
            del self._forms[kind]
            return None
        return form

    @staticmethod
    def kind_of(definition: dict[str, Any]) -> str:
        """The name of the form of the messages of *definition*."""
        options = definition.get("options")
        return f"{definition['task']}\0{options!r}" if options else str(definition["task"])

    def fits(self, definition: dict[str, Any]) -> bool:
        """Whether the messages of *definition* differ in nothing that a form has no place for."""
        options = definition.get("options") or {}
        if not _CONSTANT.issuperset(options) or len(_seconds(options)) < len(
            _SECONDS.intersection(options)
        ):
            return False
        if has_lazy(definition.get("args"), definition.get("kwargs")):
            return False
        task = self.context.app.tasks.get(definition["task"])
        return task is None or is_called_as_celerys(task)

    def _make(self, form: MessageTemplate, run: Run, commands: Commands) -> None:
        if len(commands) != 1 or len(commands[0][1]) != 3 or commands[0][1][0] != "LPUSH":
            return
        database, (_, queue, payload) = commands[0]
        message = json.loads(payload)
        headers, properties = message["headers"], message["properties"]
        form.seconds = _seconds(run.definition.get("options") or {})
        form.serializer, form.task = _SERIALIZERS.get(message["content-type"], ""), headers["task"]
        plain = (
            form.serializer in self._serializers
            and properties.get("body_encoding") == "base64"
            and "compression" not in headers
            # Which queues an exchange leads to may change at any time.
            and not properties["delivery_info"]["exchange"]
            and (headers.get("eta") is not None) == ("countdown" in form.seconds)
            and (headers.get("expires") is not None) == ("expires" in form.seconds)
            and headers["id"] == headers["root_id"] == properties["correlation_id"] == run.task_id
        )
        if not plain:
            return
        form.embed = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))
        marks = {name: f"@{name}:{secrets.token_hex(16)}@" for name in _PARTS}
        message["body"] = marks["body"]
        headers |= {"id": marks["id"], "root_id": marks["id"], "redbeat": marks["header"]}
        headers |= {name: marks[name] for name in ("argsrepr", "kwargsrepr")}
        headers |= {name: marks[name] for name in ("eta", "expires") if headers.get(name)}
        properties |= {"correlation_id": marks["id"], "delivery_tag": marks["tag"]}
        pattern = "|".join(f'"@({name}):{mark[-33:-1]}@"' for name, mark in marks.items())
        found = re.split(pattern, _dumps(message))
        form.pieces = [piece for piece in found if piece is not None]
        form.command = (database, queue)

    def times_of(self, form: MessageTemplate) -> dict[str, str]:
        """The times of a message that is made now, as JSON: worked out by what works out the
        app's own messages."""
        if not form.seconds:
            return {}
        make: Any = self.context.app.amqp.create_task_message
        headers = make("", form.task, (), {}, **form.seconds).headers
        return {name: _quoted(headers[name]) for name in ("eta", "expires") if headers[name]}

    def _filled(self, form: MessageTemplate, run: Run, tag: str, times: dict[str, str]) -> Commands:
        assert form.command is not None
        content = self._content(form, run)
        parts = times | {
            "body": content.body,
            "id": f'"{run.task_id}"',
            "argsrepr": content.argsrepr,
            "kwargsrepr": content.kwargsrepr,
            "header": f'{content.header}, "nominal": {run.nominal!r}, "trigger": null}}',
            "tag": f'"{tag}"',
        }
        pieces = form.pieces.copy()
        pieces[1::2] = [parts[name] for name in pieces[1::2]]
        database, queue = form.command
        return [(database, ("LPUSH", queue, "".join(pieces)))]

    def _content(self, form: MessageTemplate, run: Run) -> EncodedArguments:
        made_for, content = self._contents.get(run.text, (None, None))
        # With a new form, anew: so are the settings and the task that it is made by.
        if content is None or made_for is not form:
            content = self.make_content(form, run.definition)
            if self._characters > _CONTENTS:
                self._contents.clear()
                self._characters = 0
            self._characters += len(run.text) + content.size
            self._contents[run.text] = form, content
        return content

    def make_content(self, form: MessageTemplate, definition: dict[str, Any]) -> EncodedArguments:
        """What *definition* contributes to its messages; raises whatever Celery's path would."""
        app = self.context.app
        # As celery's beat and its messages have them when there are none.
        args = list(definition.get("args") or ()) or ()
        kwargs = dict(definition.get("kwargs") or {})
        task = app.tasks.get(definition["task"])
        if task is not None and task.typing:
            task.__header__(*args, **kwargs)
        body = self._body(args, kwargs, form)
        most_args, most_kwargs, levels = self.limits
        return EncodedArguments(
            body=f'"{b2a_base64(body, newline=False).decode()}"',
            argsrepr=_quoted(argument_text(args, most_args, **levels)),
            kwargsrepr=_quoted(argument_text(kwargs, most_kwargs, **levels)),
            header=f'{{"entry": {_quoted(definition["name"])}',
        )

    def _body(self, args: Any, kwargs: Any, form: MessageTemplate) -> bytes:
        if self._encode is not None and form.serializer == "json":
            both: str = self._encode((args, kwargs))
            return f"{both[:-1]}, {self._embed_text(form.embed)}]".encode()
        dumps: Any = serialization.dumps
        _, _, body = dumps((args, kwargs, form.embed), form.serializer)
        return body.encode() if isinstance(body, str) else bytes(body)

    def _embed_text(self, embed: Any) -> str:
        # The very same object for all messages of a form.
        if embed is not self._embed[0]:
            assert self._encode is not None
            self._embed = embed, self._encode(embed)
        return self._embed[1]

    def _same(self, form: MessageTemplate, run: Run, commands: Commands) -> bool:
        if len(commands) != 1:
            return False
        message = json.loads(commands[0][1][2])
        tag = message["properties"]["delivery_tag"]
        try:
            # Made a moment later, it has another time; but the same else.
            times = {
                name: _quoted(_as_close(message["headers"][name], json.loads(text)))
                for name, text in self.times_of(form).items()
            }
            filled = self._filled(form, run, tag, times)
        except Exception:
            # Celery's path took these arguments, and the form does not.
            return False
        return filled == [(commands[0][0], tuple(commands[0][1]))]


#: Options that may be a number of seconds from now.
_SECONDS = frozenset({"countdown", "expires"})


def _seconds(options: Mapping[str, Any]) -> dict[str, float]:
    """Those of *options* that are a number of seconds from now, and to come."""
    given = {name: options[name] for name in _SECONDS if name in options}
    return {
        name: value for name, value in given.items() if type(value) in (int, float) and value > 0
    }


def _as_close(given: str, known: str) -> str:
    """*given*, if it is about *known*, written alike.

    :raises ValueError: it is not.
    """
    there, here = datetime.fromisoformat(given), datetime.fromisoformat(known)
    apart = abs((there - here).total_seconds())
    if apart > _CLOSE or there.utcoffset() != here.utcoffset():
        raise ValueError(f"{given} is not {known}")
    return given
