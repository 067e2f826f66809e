"""Messages made from a template, where that gives the same message as Celery's own path.

Most of the time in Celery's publishing path goes into working out again what is the same for every
message of a task with the same options. Whatever a template cannot give (other times in the
message, signal receivers that must be called, custom routers or ``apply_async``) stays with
Celery's own path.
"""

from __future__ import annotations

import json
import uuid
from binascii import b2a_base64
from functools import partial
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
from .learned import LearnedCache
from .template import (
    EncodedArguments,
    MessageRun,
    MessageTemplate,
    argument_text,
    has_only_seconds,
    make_template,
    quoted,
    written_alike,
)

#: Options that say the same in every message of an entry; but for times that are a number of
#: seconds from now, which a template has places for.
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
#: How many characters of encoded arguments are kept.
_MOST_CHARACTERS = 50_000_000


class TemplateCache:
    """The message templates of one scheduler.

    :ivar templates: by kind of message.
    :ivar limits: the most characters of the texts of args and kwargs, and how deep they go.
    :ivar celery_makes: in this batch Celery alone makes messages, but for signal receivers.
    :ivar usable: in this batch templates may be used.
    """

    def __init__(self, context: BeatContext) -> None:
        self._context = context
        self.templates: LearnedCache[MessageTemplate] = LearnedCache()
        #: By definition, each with the template that it was made for.
        self._arguments: dict[str, tuple[MessageTemplate, EncodedArguments]] = {}
        self._characters = 0
        self._encode: Any = None
        self._serializers: tuple[str, ...] = ()
        self._embed: tuple[Any, str] = (None, "null")
        self.limits: tuple[int, int, dict[str, int]] = (0, 0, {})
        self.celery_makes = False
        self.usable = False

    def begin_batch(self) -> None:
        """Look whether templates may be used now; signal receivers may come and go."""
        context = self._context
        app, conf = context.app, context.app.conf
        self.celery_makes = (
            not conf.task_always_eager
            and not conf.task_send_sent_event
            and conf.task_protocol == 2
            # One of the app's own may make of a definition what it likes.
            and context.scheduler.Entry is RedBeatSchedulerEntry
            and self._celery_sends()
        )
        self.usable = (
            self.celery_makes
            and context.publisher.collects
            and not signals.before_task_publish.receivers
            and not signals.after_task_publish.receivers
            and not signals.task_sent.receivers
        )
        amqp = app.amqp
        has_levels = hasattr(conf, "task_repr_maxlevels")
        levels = {"maxlevels": conf.task_repr_maxlevels} if has_levels else {}
        self.limits = amqp.argsrepr_maxsize, amqp.kwargsrepr_maxsize, levels
        usual = serialization.registry._encoders["json"].encoder is kombu_json.dumps
        # Where nobody put in another: kombu makes one of these for each message.
        self._encode = kombu_json.JSONEncoder().encode if usual else None
        pickle = serialization.registry._encoders.get("pickle")
        is_kombus = pickle is not None and pickle.encoder.__module__ == serialization.__name__
        self._serializers = ("json", "pickle") if is_kombus else ("json",)

    def _celery_sends(self) -> bool:
        try:
            return sends_as_celery(self._context.scheduler)
        except Exception:
            # Such as a backend that cannot be loaded: reported when a message is published.
            return False

    def render(self, run: MessageRun) -> PublishResult | None:
        """The message of *run*, if its kind has a template that was compared; else None."""
        learned = self.templates.ready(run.kind) if self.usable else None
        if learned is None or learned.value is None or not learned.holds_for(run.definition):
            return None
        template = learned.value
        try:
            values = self._values(template, run, str(uuid.uuid4()), self.times_of(template))
            return PublishResult(run.task_id, template.render(values))
        except Exception:
            # Whatever is wrong with its arguments, Celery's path says it in its own words.
            return None

    def record_sample(self, run: MessageRun, commands: Commands) -> None:
        """Learn from a message that Celery's path made, of a definition that :meth:`fits`."""
        if not self.usable:
            return
        options = run.definition.get("options") or {}
        self.templates.record_sample(
            run.kind,
            run.definition,
            partial(make_template, commands, run.task_id, options, self._serializers),
            lambda template: self._is_same(template, run, commands),
        )

    def is_learning(self, run: MessageRun | None) -> bool:
        """Whether the template of the kind of *run* is still to be made or compared."""
        return (
            run is not None and self.usable and bool(self.templates.state(run.kind, run.definition))
        )

    def fits(self, definition: dict[str, Any]) -> bool:
        """Whether the messages of *definition* differ only where a template has places."""
        options = definition.get("options")
        if options and not (_CONSTANT.issuperset(options) and has_only_seconds(options)):
            return False
        if has_lazy(definition.get("args"), definition.get("kwargs")):
            return False
        task = self._context.app.tasks.get(definition["task"])
        return task is None or is_called_as_celerys(task)

    def times_of(self, template: MessageTemplate) -> dict[str, str]:
        """The times of a message that is made now, as JSON: worked out by what works out the
        app's own messages."""
        if not template.seconds:
            return {}
        make: Any = self._context.app.amqp.create_task_message
        headers = make("", template.task, (), {}, **template.seconds).headers
        return {name: quoted(headers[name]) for name in ("eta", "expires") if headers[name]}

    def _values(
        self, template: MessageTemplate, run: MessageRun, tag: str, times: dict[str, str]
    ) -> dict[str, str]:
        arguments = self._encoded(template, run)
        return times | {
            "body": arguments.body,
            "id": f'"{run.task_id}"',
            "argsrepr": arguments.argsrepr,
            "kwargsrepr": arguments.kwargsrepr,
            "header": f'{arguments.header}, "nominal": {run.nominal!r}, "trigger": null}}',
            "tag": f'"{tag}"',
        }

    def _encoded(self, template: MessageTemplate, run: MessageRun) -> EncodedArguments:
        made_for, arguments = self._arguments.get(run.text, (None, None))
        # With a new template, again: the settings and the task that it is made by are new, too.
        if arguments is None or made_for is not template:
            arguments = self.encode_arguments(template, run.definition)
            if self._characters > _MOST_CHARACTERS:
                self._arguments.clear()
                self._characters = 0
            self._characters += len(run.text) + arguments.size
            self._arguments[run.text] = template, arguments
        return arguments

    def encode_arguments(
        self, template: MessageTemplate, definition: dict[str, Any]
    ) -> EncodedArguments:
        """Encode the parts of a message that come from *definition*.

        :raises Exception: whatever Celery's path would raise for these arguments.
        """
        # As celery's beat and its messages have them when there are none.
        args = list(definition.get("args") or ()) or ()
        kwargs = dict(definition.get("kwargs") or {})
        task = self._context.app.tasks.get(definition["task"])
        if task is not None and task.typing:
            task.__header__(*args, **kwargs)
        body = self._body(args, kwargs, template)
        most_args, most_kwargs, levels = self.limits
        return EncodedArguments(
            body=f'"{b2a_base64(body, newline=False).decode()}"',
            argsrepr=quoted(argument_text(args, most_args, **levels)),
            kwargsrepr=quoted(argument_text(kwargs, most_kwargs, **levels)),
            header=f'{{"entry": {quoted(definition["name"])}',
        )

    def _body(self, args: Any, kwargs: Any, template: MessageTemplate) -> bytes:
        if self._encode is not None and template.serializer == "json":
            both: str = self._encode((args, kwargs))
            return f"{both[:-1]}, {self._embed_text(template.embed)}]".encode()
        dumps: Any = serialization.dumps
        _, _, body = dumps((args, kwargs, template.embed), template.serializer)
        return body.encode() if isinstance(body, str) else bytes(body)

    def _embed_text(self, embed: Any) -> str:
        # The very same object for all messages of a template.
        if embed is not self._embed[0]:
            assert self._encode is not None
            self._embed = embed, self._encode(embed)
        return self._embed[1]

    def _is_same(self, template: MessageTemplate, run: MessageRun, commands: Commands) -> bool:
        if len(commands) != 1:
            return False
        message = json.loads(commands[0][1][2])
        tag = message["properties"]["delivery_tag"]
        try:
            # Made a moment later, it has another time; but the same else.
            times = {
                name: quoted(written_alike(message["headers"][name], json.loads(text)))
                for name, text in self.times_of(template).items()
            }
            rendered = template.render(self._values(template, run, tag, times))
        except Exception:
            # Celery's path took these arguments, and the template does not.
            return False
        return rendered == [(commands[0][0], tuple(commands[0][1]))]
