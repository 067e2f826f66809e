"""The message of one run: filled into a form, or made by Celery's own path."""

from __future__ import annotations

from collections.abc import Mapping

from celery.utils.log import get_logger

from redbeat_core.broker.delivery import PublishResult
from redbeat_core.dispatch.context import BeatContext
from redbeat_core.dispatch.failures import waiting_key
from redbeat_core.dispatch.lazy_args import LazyArgumentError, has_lazy
from redbeat_core.dispatch.retry_backoff import RetryBackoff
from redbeat_core.dispatch.runs import PendingRun, task_id_of
from redbeat_core.entries.record import definition_of
from redbeat_core.schedules.types.rrule import shown
from redbeat_core.storage.errors import error_text

from .calls import CallCache
from .learned import TemplateCache
from .template import Run

logger = get_logger("celery.beat")


class OptionError(ValueError):
    """An option of an entry that no message can have; the message says which."""


class MessageSender:
    """Makes and publishes the messages of one scheduler."""

    def __init__(
        self, context: BeatContext, templates: TemplateCache, postponed: RetryBackoff
    ) -> None:
        self._context = context
        self._templates = templates
        self._prepared = CallCache(context, templates)
        self._postponed = postponed

    def task_id(self, job: PendingRun) -> str:
        """The id that the message of *job* has, however often it is made.

        :raises OptionError: the entry's options give one that no message can have.
        """
        chosen = job.entry.options.get("task_id")
        if chosen and type(chosen) not in (str, int):
            raise OptionError(f"its option 'task_id' must be a text, not {shown(chosen)}")
        return chosen or task_id_of(self._context.store.keys.prefix + job.name, job.moment)

    def send(self, job: PendingRun) -> PublishResult:
        """Publish *job*; never raises for what its entry or the broker does."""
        try:
            return self._send(job)
        except OptionError as exc:
            return PublishResult("", [], str(exc))
        except Exception as exc:
            return PublishResult("", [], f"{type(exc).__name__}: {error_text(exc)}")

    def _send(self, job: PendingRun) -> PublishResult:
        context = self._context
        entry = job.entry
        task_id = self.task_id(job)
        trigger = job.request["id"] if job.request else None
        header = {"entry": job.name, "nominal": job.nominal, "trigger": trigger}
        if trigger is None:
            logger.info("Scheduler: Sending due task %s (%s)", entry.name, entry.task)
        else:
            sentence = "Scheduler: Sending requested task %s (%s), trigger %s"
            logger.info(sentence, entry.name, entry.task, trigger)
        run = self._run(job, task_id)
        if has_lazy(entry.args, entry.kwargs):
            run = None
            try:
                entry.args, entry.kwargs = context.lazy.evaluated(
                    job.name, entry.args, entry.kwargs
                )
            except LazyArgumentError as exc:
                return PublishResult(task_id, [], str(exc))
        filled = self._templates.fill(run) if run is not None else None
        if filled is not None:
            return filled
        alone = self._postponed.attempts(waiting_key(job)) > 0
        call = self._prepared.call(run, header) if run is not None and not alone else None
        if call is not None:
            return context.publisher.publish(task_id, call)
        options = {**entry.options, "task_id": task_id}
        # We try again by ourselves. kombu would wait here, and put in a channel that does not
        # collect or does not confirm.
        options["retry"] = False
        headers = options.get("headers") or {}
        if not isinstance(headers, Mapping):
            raise OptionError(f"its option 'headers' must be an object, not {shown(headers)}")
        options["headers"] = {**headers, "redbeat": header}
        entry.options = options
        sent: PublishResult | None = None
        try:
            with self._prepared.learning(run, header):
                sent = context.publisher.publish(
                    task_id,
                    lambda producer: context.scheduler.apply_async(
                        entry, producer=producer, advance=False
                    ),
                    alone=alone,
                )
            if run is not None and not sent.error:
                self._templates.learn(run, sent.commands)
        except Exception:
            if sent is None:
                raise
            # The message is made, and may be out: it must not be made again for this.
            logger.warning("beat: The message of %r cannot be learnt from", job.name, exc_info=True)
        return sent

    def _run(self, job: PendingRun, task_id: str) -> Run | None:
        """What a form of the message needs to know; None for requests, which are few."""
        due = job.step.due
        if due is None or due.record.definition is None:
            return None
        definition = definition_of(due.record)
        return Run(due.record.definition, definition, task_id, job.nominal)
