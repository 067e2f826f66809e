"""Messages handed to Celery's last step, where that gives the same as Celery's whole path.

Where a message cannot be filled as text (signal receivers are to be called, the broker is no
Redis), ``send_task_message`` of the app makes and sends it. What leads there, and takes as long
again (options, routes, headers), comes to the same for all messages of a kind: what it came to is
noted once, compared once, and then used. Receivers get objects of their own each time, as ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from celery.app.amqp import task_message

from redbeat_core.dispatch.context import BeatContext
from redbeat_core.entries.record import own_copy

from .learned import FORMS, FRESH, TemplateCache
from .plain_repr import argument_text
from .template import Run, arguments_of

#: Name, message and options, as ``send_task_message`` takes them.
Call = tuple[str, Any, dict[str, Any]]


@dataclass(slots=True)
class _Kind:
    """What the calls for one kind of message have in common.

    :ivar call: one of them; None: this kind has not enough in common.
    :ivar compared: a second one was the same.
    :ivar only: the arguments of all so far, as text; None: there were others.
    """

    made_at: float
    call: Call | None
    only: str | None
    compared: bool = False

    def holds_for(self, run: Run) -> bool:
        return self.only is None or self.only == arguments_of(run.definition)


class CallCache:
    """The calls of one scheduler."""

    def __init__(self, context: BeatContext, templates: TemplateCache) -> None:
        self._app = context.app
        self._templates = templates
        self._kinds: dict[str, _Kind] = {}

    def call(self, run: Run, header: dict[str, Any]) -> Callable[[Any], Any] | None:
        """What sends the message of *run*, given a producer; None: Celery's whole path does.

        :param header: ours.
        """
        templates = self._templates
        name = templates.kind_of(run.definition)
        if not templates.celerys or (templates.usable and templates.learning(name, run.definition)):
            # Celery's path is what a form is made from, which is faster still.
            return None
        kind = self._fresh(name)
        if kind is None or not kind.compared or kind.call is None or not kind.holds_for(run):
            return None
        try:
            made = self._made(kind.call, run, header)
        except Exception:
            # Whatever is wrong with its arguments, Celery's path says it in its own words.
            return None
        return lambda producer: self._send(producer, made)

    def _send(self, producer: Any, made: Call) -> None:
        name, message, options = made
        with producer.connection._reraise_as_library_errors():
            self._app.amqp.send_task_message(producer, name, message, **options)

    @contextmanager
    def learning(self, run: Run | None, header: dict[str, Any]) -> Iterator[None]:
        """Note what Celery's path comes to for *run*."""
        if run is None or not self._templates.celerys or not self._templates.fits(run.definition):
            yield
            return
        messages: Any = self._app.amqp
        real = messages.send_task_message
        seen: list[Call] = []

        def noting(producer: Any, name: str, message: Any, **options: Any) -> Any:
            # Before anybody else has a hand in it.
            seen.append((name, _copied(message), own_copy(options)))
            return real(producer, name, message, **options)

        messages.send_task_message = noting
        try:
            yield
        finally:
            messages.send_task_message = real
        if len(seen) == 1:
            self._learn(run, header, seen[0])

    def _learn(self, run: Run, header: dict[str, Any], call: Call) -> None:
        name = self._templates.kind_of(run.definition)
        kind = self._fresh(name)
        if kind is None:
            if len(self._kinds) >= FORMS:
                del self._kinds[next(iter(self._kinds))]
            known = call if _is_timeless(call, run) else None
            self._kinds[name] = _Kind(time.monotonic(), known, arguments_of(run.definition))
        elif kind.call is not None:
            try:
                kind.compared = self._made(kind.call, run, header) == call
            except Exception:
                kind.compared = False
            if not kind.compared:
                kind.call = None
            elif not kind.holds_for(run):
                kind.only = None

    def _fresh(self, name: str) -> _Kind | None:
        kind = self._kinds.get(name)
        if kind is not None and time.monotonic() - kind.made_at > FRESH:
            del self._kinds[name]
            return None
        return kind

    def _made(self, call: Call, run: Run, header: dict[str, Any]) -> Call:
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


def _is_timeless(call: Call, run: Run) -> bool:
    """Whether no time is in it, and the ids are where they are put."""
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
