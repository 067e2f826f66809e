"""Reports the outcomes of runs from a worker.

Call :func:`install` once in a module that the worker imports with the app. Only tasks that a
scheduler of this project sent are reported; for other tasks only their headers are checked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from celery import Celery, signals
from celery.utils.log import get_logger

from redbeat_core.storage.connection import TROUBLE
from redbeat_core.storage.schedule_store import ScheduleStore, store_for

from . import events

logger = get_logger(__name__)

_INSTALLED = "redbeat_outcomes"
#: Most characters of an error's text; the rest is cut.
_ERROR_LENGTH = 500


def install(app: Celery) -> None:
    """Report the outcomes of *app*'s tasks in this worker; a second call has no effect."""
    if getattr(app, _INSTALLED, None) is None:
        reporter = Reporter(app)
        setattr(app, _INSTALLED, reporter)
        reporter.connect()


class Reporter:
    """Emits events and stores outcomes of entries on the signals of a worker."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        #: Start of each running attempt, monotonic seconds, by task id and number of the attempt.
        self._starts: dict[tuple[str, int], float] = {}

    def connect(self) -> None:
        """Connect to the worker's signals."""
        for signal, receiver in self._receivers():
            # With an id: older Celery confuses the same method of two reporters.
            signal.connect(receiver, weak=False, dispatch_uid=self._uid(signal))

    def disconnect(self) -> None:
        """Disconnect from the worker's signals."""
        for signal, _ in self._receivers():
            signal.disconnect(dispatch_uid=self._uid(signal))

    def _receivers(self) -> Iterator[tuple[Any, Callable[..., None]]]:
        yield signals.task_prerun, self.started
        yield signals.task_success, self.succeeded
        yield signals.task_failure, self.errored
        yield signals.task_retry, self.retried
        yield signals.task_revoked, self.revoked
        yield signals.task_postrun, self.left

    def _uid(self, signal: Any) -> str:
        return f"redbeat:{signal.name}:{id(self)}"

    def started(self, task: Any = None, **_: Any) -> None:
        """Report that a run has started."""
        run = _run_of(getattr(task, "request", None))
        if run is not None:
            self._starts[_attempt(task.request)] = time.monotonic()
            self._report(events.RUN_STARTED, task.request, run)

    def left(self, task: Any = None, **_: Any) -> None:
        """Forget the start of a run that may have ended without an outcome: it was rejected or
        ignored."""
        self._starts.pop(_attempt(getattr(task, "request", None)), None)

    def succeeded(self, sender: Any = None, **_: Any) -> None:
        """Report that a run has succeeded."""
        self._ended(events.RUN_SUCCEEDED, getattr(sender, "request", None))

    def errored(self, sender: Any = None, exception: Any = None, **_: Any) -> None:
        """Report that a run has raised an error."""
        self._ended(events.RUN_ERRORED, getattr(sender, "request", None), exception)

    def retried(self, request: Any = None, reason: Any = None, **_: Any) -> None:
        """Report that a run requested a retry."""
        self._ended(events.RUN_RETRIED, request, reason)

    def revoked(
        self, request: Any = None, terminated: bool = False, expired: bool = False, **_: Any
    ) -> None:
        """Report that a run was revoked, or was received after its ``expires``."""
        reason = "expired" if expired else ("terminated" if terminated else "revoked")
        self._ended(events.RUN_REVOKED, request, reason)

    def _ended(self, type_: str, request: Any, error: Any = None) -> None:
        run = _run_of(request)
        if run is not None:
            started = self._starts.pop(_attempt(request), None)
            runtime = None if started is None else round(time.monotonic() - started, 6)
            self._report(type_, request, run, error=error, runtime=runtime)

    def _report(
        self,
        type_: str,
        request: Any,
        run: Mapping[str, Any],
        *,
        error: Any = None,
        runtime: float | None = None,
    ) -> None:
        outcome = {
            "status": type_.rpartition(".")[2],
            "at": time.time(),
            "task_id": str(request.id),
            "attempt": _attempt(request)[1],
            "run_at": run.get("nominal"),
            "runtime": runtime,
            "error": _line(error),
            "worker": str(getattr(request, "hostname", None) or ""),
        }
        data = events.run_reported(str(outcome["task_id"]), run.get("nominal"), run.get("trigger"))
        try:
            self._store.record_outcome(str(run["entry"]), type_, outcome, data)
        except TROUBLE as exc:
            # A failing report must not make the task fail.
            logger.warning("Could not report the outcome of %s: %s", request.id, exc)

    @property
    def _store(self) -> ScheduleStore:
        store = store_for(self._app)
        store.source = "/redbeat/worker"
        return store


def _run_of(request: Any) -> Mapping[str, Any] | None:
    """Return the header that the scheduler added to the run's message; None: another task."""
    if request is None:
        return None
    run = getattr(request, "redbeat", None)
    if run is None:
        headers = getattr(request, "headers", None)
        run = headers.get("redbeat") if isinstance(headers, Mapping) else None
    return run if isinstance(run, Mapping) and run.get("entry") else None


def _attempt(request: Any) -> tuple[str, int]:
    return str(getattr(request, "id", "")), int(getattr(request, "retries", None) or 0)


def _line(error: Any) -> str:
    if error is None:
        return ""
    text = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)
    return text[:_ERROR_LENGTH]
