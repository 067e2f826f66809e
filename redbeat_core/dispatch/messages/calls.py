"""Messages handed to Celery's last step, where that gives the same as Celery's whole path.

Where a message has no template (signal receivers are to be called, the broker is no Redis),
``send_task_message`` of the app makes and sends it. What leads there, and takes as long again
(options, routes, headers), is the same for all messages of a kind: the call is noted once, compared
once, and then used. Receivers get objects of their own each time, as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery.app.amqp import task_message

from redbeat_core.dispatch.context import BeatContext
from redbeat_core.entries.record import own_copy

from .learned import LearnedCache
from .template import MessageRun, argument_text
from .template_cache import TemplateCache

#: Name, message and options, as ``send_task_message`` takes them.
Call = tuple[str, Any, dict[str, Any]]


class CallCache:
    """The calls of one scheduler, by kind of message."""

    def __init__(self, context: BeatContext, templates: TemplateCache) -> None:
        self._app = context.app
        self._templates = templates
        self._calls: LearnedCache[Call] = LearnedCache()

    def call(self, run: MessageRun, header: dict[str, Any]) -> Callable[[Any], Any] | None:
        """Return a function that sends the message of *run* through a given producer; None: use
        Celery's whole path.

        :param header: the header ``redbeat``.
        """
        learned = self._calls.ready(run.kind)
        if learned is None or learned.value is None or not learned.holds_for(run.definition):
            return None
        try:
            made = self._made(learned.value, run, header)
        except Exception:
            # Whatever is wrong with its arguments, Celery's path says it in its own words.
            return None
        return lambda producer: self._send(producer, made)

    def _send(self, producer: Any, made: Call) -> None:
        name, message, options = made
        with producer.connection._reraise_as_library_errors():
            self._app.amqp.send_task_message(producer, name, message, **options)

    @contextmanager
    def record_sample(self, run: MessageRun | None, header: dict[str, Any]) -> Iterator[None]:
        """Learn from the call that Celery's path makes for *run* within this context.

        :param run: of a definition that :meth:`TemplateCache.fits`; None: learn nothing.
        """
        if run is None:
            yield
            return
        messages: Any = self._app.amqp
        real = messages.send_task_message
        calls: list[Call] = []

        def noting(producer: Any, name: str, message: Any, **options: Any) -> Any:
            # Before anybody else changes it.
            calls.append((name, _copied(message), own_copy(options)))
            return real(producer, name, message, **options)

        messages.send_task_message = noting
        try:
            yield
        finally:
            messages.send_task_message = real
        if len(calls) == 1:
            call = calls[0]
            self._calls.record_sample(
                run.kind,
                run.definition,
                lambda: call if _is_timeless(call, run) else None,
                lambda learned: self._is_same(learned, run, header, call),
            )

    def _is_same(self, learned: Call, run: MessageRun, header: dict[str, Any], call: Call) -> bool:
        try:
            return self._made(learned, run, header) == call
        except Exception:
            return False

    def _made(self, call: Call, run: MessageRun, header: dict[str, Any]) -> Call:
        name, message, options = call
        definition = run.definition
        # As celery's beat and its messages have them when there are none.
        args = own_copy(list(definition.get("args") or ())) or ()
        kwargs = own_copy(dict(definition.get("kwargs") or {}))
        task = self._app.tasks.get(name)
        if task is not None and task.typing:
            task.__header__(*args, **kwargs)
        headers, properties, (*_, embed), sent_event = _copied(message)
        most_args, most_kwargs, levels = self._templates.limits
        headers["id"] = headers["root_id"] = properties["correlation_id"] = run.task_id
        headers["argsrepr"] = argument_text(args, most_args, **levels)
        headers["kwargsrepr"] = argument_text(kwargs, most_kwargs, **levels)
        made = task_message(headers, properties, (args, kwargs, embed), sent_event)
        options = own_copy(options)
        options["headers"]["redbeat"] = header
        return name, made, options


def _copied(message: Any) -> Any:
    """The same in objects of its own, as Celery makes them for each message."""
    headers, properties, body, sent_event = message
    return task_message(own_copy(headers), own_copy(properties), own_copy(body), sent_event)


def _is_timeless(call: Call, run: MessageRun) -> bool:
    """Whether the call holds no time, and the ids are where they are put."""
    _, message, options = call
    headers, properties, _, sent_event = message
    ids = headers["id"], headers["root_id"], properties["correlation_id"]
    return (
        ids == (run.task_id,) * 3
        and headers["eta"] is None
        and headers["expires"] is None
        and "expiration" not in options
        and sent_event is None
    )
