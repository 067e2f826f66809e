"""One row of the table: an entry with the texts and the status that the console draws. Pure.

Making a row takes a microsecond; its entry is decoded at the first use, so that a schedule of
100,000 entries is on the screen at once. Rows are immutable: a change makes another row, and a
widget sees by ``is`` whether it must draw.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from celery.schedules import crontab

from redbeat_core.entries.record import EntryRecord
from redbeat_core.entries.view import EntryView, Outcome, decode_record
from redbeat_core.events import (
    RUN_DISPATCHED,
    RUN_FAILED,
    RUN_MISSED,
    RUN_REQUESTED,
    RUN_SKIPPED,
    Event,
)
from redbeat_core.schedules import describe
from redbeat_tui.text.format import LATE_AFTER

if TYPE_CHECKING:
    from celery import Celery
    from celery.schedules import BaseSchedule

#: Every status, the most urgent first.
STATUSES = (
    "invalid",
    "failed",
    "late",
    "retrying",
    "revoked",
    "running",
    "dispatched",
    "succeeded",
    "waiting",
    "paused",
    "disabled",
    "finished",
)

#: Outcome as a worker reports it -> the status that every surface shows for it.
_STATUS_OF_OUTCOME = {
    "started": "running",
    "succeeded": "succeeded",
    "errored": "failed",
    "retried": "retrying",
    "revoked": "revoked",
}


def outcome_status(outcome: Outcome) -> str:
    """Return the word that the console and the command line show for *outcome*; an outcome of a
    newer version keeps its own word."""
    return _STATUS_OF_OUTCOME.get(outcome.status, outcome.status)


#: Matches the definition of every disabled entry, and of few others.
_DISABLED = re.compile(r'"enabled"\s*:\s*false')

#: An outcome that is older than the last dispatch by more than this belongs to an earlier run, in
#: seconds. The two times come from the clocks of two machines.
_CLOCKS = 5.0


@dataclass(frozen=True, slots=True)
class Facts:
    """The values of an entry that are drawn and do not depend on the present.

    The texts are as Redis holds them: sanitize before drawing.

    :ivar schedule: the description of the schedule; empty when it is invalid.
    :ivar due: the next due time in Unix seconds; None when no run is scheduled.
    :ivar last_run: when it was last dispatched, Unix seconds; None when it never was.
    :ivar status: one of :data:`STATUSES`, but never ``late``.
    :ivar reason: the reason of that status, as text; may be empty.
    :ivar warning: what may be wrong with its schedule, as text; empty for most entries.
    """

    task: str
    schedule: str
    due: float | None
    last_run: float | None
    runs: int
    status: str
    reason: str
    warning: str = ""


class Row:
    """An entry as the table shows it. Equal to another row of an equal record.

    :ivar record: the entry as Redis holds it.
    :ivar event: the last event about this entry since the snapshot; None when there was none.
    """

    __slots__ = (
        "_app",
        "_deferred",
        "_description",
        "_facts",
        "_text",
        "_waits",
        "event",
        "record",
    )

    def __init__(
        self,
        record: EntryRecord,
        app: Celery | None = None,
        event: Event | None = None,
        before: Row | None = None,
        *,
        deferred: bool = False,
    ) -> None:
        """
        :param app: its time zone applies to crontabs.
        :param deferred: another thread will :meth:`warm` it; see :attr:`ready`.
        :param before: the row that this one replaces; values that did not change are reused.
        """
        self.record = record
        self.event = event
        self._app = app
        self._deferred = deferred
        self._facts: Facts | None = None
        self._text: str | None = None
        self._waits: float | None = None
        # Describing a schedule takes the most time, and a run does not change the schedule.
        self._description: str | None = None
        if before is not None and before.record.definition == record.definition:
            self._description = before._description
            if before.record == record:
                self._facts = before._facts
                self._text = before._text

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def version(self) -> str:
        """The version that a compare-and-set compares."""
        return self.record.version

    @property
    def view(self) -> EntryView:
        """The whole entry, decoded at each call: for the screen of one entry, not for a table."""
        return decode_record(self.record, self._app)

    @property
    def facts(self) -> Facts:
        """The values that are drawn, decoded at the first use."""
        if self._facts is None:
            self._facts = facts = facts_of(self.view, self._description)
            self._description = facts.schedule
            return facts
        return self._facts

    @property
    def ready(self) -> bool:
        """Whether filters and sorting use the row. They skip a row that another thread has still
        to decode, so that the screen does not wait for the decoding."""
        return not self._deferred or self._facts is not None

    def warm(self) -> None:
        """Decode the values that drawing, sorting and filtering use. For another thread."""
        if self._facts is None:
            _ = self.facts

    @property
    def waits_until(self) -> float:
        """The next due time in Unix seconds, infinite when no run is scheduled. Cheap: decodes
        only entries that may be paused or disabled."""
        if self._waits is None:
            self._waits = self._due()
        return self._waits

    def _due(self) -> float:
        score = self.record.score
        if score is None or not score >= 0:  # "not >=" is also true for NaN
            return inf
        if self.record.state or _DISABLED.search(self.record.definition or ""):
            return score if self.facts.due is not None else inf
        return score

    @property
    def status(self) -> str:
        """The status without regard to the time: one of :data:`STATUSES`, but never ``late``."""
        return self.facts.status

    def status_at(self, now: float | None) -> str:
        """Return the status at *now* (Unix seconds); None: the data is not live, so no entry is
        late."""
        facts = self.facts
        if now is not None and facts.due is not None and now - facts.due >= LATE_AFTER:
            return "late"
        return facts.status

    def reason_at(self, now: float | None) -> str:
        """Return the reason of the status at *now*, as text; may be empty."""
        facts = self.facts
        if self.event is not None and (reason_of := _EVENT_REASONS.get(self.event.type)):
            text = reason_of(self.event.data)
            if text and (facts.status not in ("invalid", "paused", "disabled", "finished")):
                return text
        if self.status_at(now) == "late":
            return "not dispatched yet"
        return facts.reason or facts.warning

    @property
    def text(self) -> str:
        """The texts that a filter word may match, in lower case."""
        if self._text is None:
            facts = self.facts
            parts = (self.name, facts.task, facts.schedule, facts.reason, facts.warning)
            self._text = "\n".join(parts).casefold()
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and self.record == other.record

    def __hash__(self) -> int:
        return hash(self.record.name)

    def __repr__(self) -> str:
        return f"Row({self.record!r})"


def facts_of(view: EntryView, description: str | None = None) -> Facts:
    """Return the values of *view* that are drawn.

    :param description: of its schedule, where the caller has it already.
    """
    if description is None:
        description = _describe(view.schedule) if view.schedule is not None else ""
    status, reason = _status(view)
    waits = status not in ("invalid", "paused", "disabled", "finished")
    return Facts(
        task=view.task,
        schedule=description,
        due=view.next_run_at.timestamp() if waits and view.next_run_at else None,
        last_run=view.last_run_at.timestamp() if view.last_run_at and _ran(view) else None,
        runs=view.total_run_count,
        status=status,
        reason=reason,
        warning=view.warnings[0].text if view.warnings else "",
    )


#: Descriptions of crontabs by their text: describing one takes half a millisecond, and many of
#: thousands of entries have the same crontab.
_CRONTABS: dict[str, str] = {}


def _describe(schedule: BaseSchedule) -> str:
    if type(schedule) is not crontab:
        return describe(schedule)
    text = repr(schedule)
    description = _CRONTABS.get(text)
    if description is None:
        if len(_CRONTABS) >= 10_000:
            _CRONTABS.clear()
        description = _CRONTABS[text] = describe(schedule)
    return description


def _status(view: EntryView) -> tuple[str, str]:
    if view.error is not None:
        return "invalid", view.error
    if view.pause is not None:
        by = f"by {view.pause.by}" if view.pause.by else ""
        return "paused", " ".join(part for part in (view.pause.note, by) if part)
    if not view.enabled:
        return "disabled", ""
    outcome = view.outcome
    if outcome is None or outcome.status not in _STATUS_OF_OUTCOME:
        status, reason = ("dispatched", "") if _ran(view) else ("waiting", "")
    elif (
        outcome.at is not None
        and view.last_run_at is not None
        and ((view.last_run_at - outcome.at).total_seconds() > _CLOCKS)
    ):
        status, reason = "dispatched", ""
    else:
        status, reason = outcome_status(outcome), outcome.error
    if view.finished and status in ("succeeded", "dispatched", "waiting"):
        # That its last run failed, or is still running, matters more than that none follows.
        return "finished", ""
    return status, reason


def _ran(view: EntryView) -> bool:
    # celery-redbeat stores the time at which the entry was created as the time of its last run.
    return view.total_run_count > 0 or view.outcome is not None


def _not_published(data: Mapping[str, Any]) -> str:
    return f"not published: {data.get('reason') or 'no reason given'}"


def _skipped(data: Mapping[str, Any]) -> str:
    reason = data.get("reason")
    return f"skipped: {reason}" if reason else "skipped"


def _missed(data: Mapping[str, Any]) -> str:
    count = data.get("count")
    runs = f"{count:,} runs" if isinstance(count, int) and count != 1 else "one run"
    return f"{runs} missed"


def _requested(data: Mapping[str, Any]) -> str:
    actor = data.get("actor")
    return f"run requested by {actor}" if actor else "run requested"


def _dispatched(data: Mapping[str, Any]) -> str:
    return "dispatched on request" if data.get("trigger") else ""


_EVENT_REASONS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    RUN_FAILED: _not_published,
    RUN_SKIPPED: _skipped,
    RUN_MISSED: _missed,
    RUN_REQUESTED: _requested,
    RUN_DISPATCHED: _dispatched,
}
