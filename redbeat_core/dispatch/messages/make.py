"""Makes and publishes the message of one run, by the fastest way that gives Celery's own result."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from celery.utils.log import get_logger

from redbeat_core.broker.delivery import PublishResult
from redbeat_core.dispatch.context import BeatContext
from redbeat_core.dispatch.failures import RetryBackoff
from redbeat_core.dispatch.lazy_args import LazyArgumentError, has_lazy
from redbeat_core.dispatch.runs import PendingRun, task_id_of
from redbeat_core.schedules.types.rrule import shown
from redbeat_core.storage.errors import error_text

from .calls import CallCache
from .template import MessageRun
from .template_cache import TemplateCache

logger = get_logger("celery.beat")


class OptionError(ValueError):
    """An option of an entry that no message can have; the message says which."""


class MessageSender:
    """Makes and publishes the messages of one scheduler."""

    def __init__(
        self, context: BeatContext, templates: TemplateCache, backoff: RetryBackoff
    ) -> None:
        self._context = context
        self._templates = templates
        self._calls = CallCache(context, templates)
        self._backoff = backoff

    def task_id(self, run: PendingRun) -> str:
        """The id of the message of *run*: the same, however often it is made.

        :raises OptionError: the entry's options give one that no message can have.
        """
        chosen = run.entry.options.get("task_id")
        if chosen and type(chosen) not in (str, int):
            raise OptionError(f"its option 'task_id' must be a text, not {shown(chosen)}")
        return chosen or task_id_of(self._context.store.keys.prefix + run.name, run.origin)

    def send(self, run: PendingRun) -> PublishResult:
        """Publish the message of *run*; never raises for what its entry or the broker does."""
        try:
            return self._send(run)
        except OptionError as exc:
            return PublishResult("", [], str(exc))
        except Exception as exc:
            return PublishResult("", [], f"{type(exc).__name__}: {error_text(exc)}")

    def _send(self, run: PendingRun) -> PublishResult:
        context = self._context
        entry = run.entry
        task_id = self.task_id(run)
        header = {"entry": run.name, "nominal": run.nominal, "trigger": run.trigger_id}
        if run.trigger_id is None:
            logger.info("Scheduler: Sending due task %s (%s)", entry.name, entry.task)
        else:
            sentence = "Scheduler: Sending requested task %s (%s), trigger %s"
            logger.info(sentence, entry.name, entry.task, run.trigger_id)
        message: MessageRun | None = None
        if run.due is not None:
            due = run.due
            message = MessageRun(due.text, due.definition, due.kind, task_id, run.nominal)
        if has_lazy(entry.args, entry.kwargs):
            message = None
            try:
                entry.args, entry.kwargs = context.lazy.evaluated(
                    run.name, entry.args, entry.kwargs
                )
            except LazyArgumentError as exc:
                return PublishResult(task_id, [], str(exc))
        rendered = self._templates.render(message) if message is not None else None
        if rendered is not None:
            return rendered
        alone = bool(self._backoff.waits) and self._backoff.attempts(run.waiting_key) > 0
        templates = self._templates
        if message is not None and not (
            templates.celery_makes and templates.fits(message.definition)
        ):
            # Nothing that is learned of it holds for the next message of its kind.
            message = None
        # Celery's path is what a template is made from, which is faster than a call.
        uses_calls = message is not None and not templates.is_learning(message)
        if message is not None and uses_calls and not alone:
            call = self._calls.call(message, header)
            if call is not None:
                return context.publisher.publish(task_id, call)
        return self._send_as_celery(
            run, message, task_id, header, alone=alone, uses_calls=uses_calls
        )

    def _send_as_celery(
        self,
        run: PendingRun,
        message: MessageRun | None,
        task_id: str,
        header: dict[str, Any],
        *,
        alone: bool,
        uses_calls: bool,
    ) -> PublishResult:
        """Publish through Celery's whole path, and learn from it.

        :param message: None: learn nothing.
        :param uses_calls: learn the call, and no template.
        """
        context, entry = self._context, run.entry
        options = {**entry.options, "task_id": task_id}
        # We try again by ourselves. kombu would wait here, and put in a channel that does not
        # capture or does not confirm.
        options["retry"] = False
        headers = options.get("headers") or {}
        if not isinstance(headers, Mapping):
            raise OptionError(f"its option 'headers' must be an object, not {shown(headers)}")
        options["headers"] = {**headers, "redbeat": header}
        entry.options = options
        result: PublishResult | None = None
        try:
            with self._calls.record_sample(message, header) if uses_calls else nullcontext():
                result = context.publisher.publish(
                    task_id,
                    lambda producer: context.scheduler.apply_async(
                        entry, producer=producer, advance=False
                    ),
                    alone=alone,
                )
            if message is not None and not uses_calls and not result.error:
                self._templates.record_sample(message, result.commands)
        except Exception:
            if result is None:
                raise
            # The message is made, and may be out: it must not be made again for this.
            logger.warning(
                "beat: Nothing can be learned from the message of %r", run.name, exc_info=True
            )
        return result
