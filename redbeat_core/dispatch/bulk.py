"""Runs made many at a time: what is the same for all of a batch is worked out once.

An entry whose message can be filled into a form (:mod:`.messages.learned`), that makes one
plain run and goes on, is put into the commit as the few texts that are its own; the script fills
them into the message, the meta and the event. Everything else takes the long way through a
:class:`~redbeat_core.dispatch.runs.PendingRun`, and both ways give the same.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.schedules import schedule
from celery.utils.log import get_logger

from redbeat_core.broker.delivery import EXACTLY_ONCE, PublishResult
from redbeat_core.entries.codec import DecodeError, decode_meta
from redbeat_core.entries.due_field import score_is_ours
from redbeat_core.entries.policy import PLAIN
from redbeat_core.entries.record import bind, definition_of, named_definition, version_of
from redbeat_core.entry import RedBeatSchedulerEntry
from redbeat_core.planning.plan import plan, plan_interval
from redbeat_core.schedules.types.count_progress import counted_rules
from redbeat_core.storage.leader_store import BulkRun, DueEntry
from redbeat_core.storage.schedule_store import score_text

from .bulk_templates import PARTS, RunForms
from .context import BeatContext
from .messages.learned import NO_TEMPLATE, TemplateCache
from .messages.template import EncodedArguments, MessageTemplate
from .runs import PendingRun, task_id_of

logger = get_logger("celery.beat")

#: How many characters of definitions are remembered with what they give, and how many metas.
_CHARACTERS, _HEADS = 50_000_000, 10_000
#: How many kinds that were waited for are remembered.
_WAITED = 2000
#: Members of a policy that decide nothing about an interval that is on time, but for the next
#: run of an entry that is finished, or of its local time.
_NOT_DECIDING = {name: getattr(PLAIN, name) for name in ("nonexistent", "ambiguous")}
_NOT_DECIDING |= {name: getattr(PLAIN, name) for name in ("keep_finished", "catchup_limit")}
_EPOCH, _MICROSECOND = datetime.fromtimestamp(0, UTC), timedelta(microseconds=1)
_COUNT = ', "total_run_count": '


@dataclass(frozen=True, slots=True)
class _Known:
    """What is the same in all runs of a definition, as long as their form is the same.

    :ivar kind: the name of the form of its messages.
    :ivar subject: its name as JSON.
    :ivar every: microseconds, where its schedule is a plain interval; else 0.
    """

    key: str
    name: str
    task: str
    version: str
    timing: Any
    kind: str
    form: MessageTemplate
    subject: str
    content: EncodedArguments
    every: int


class BulkDispatch:
    """Makes the runs of one scheduler that need nothing but filling."""

    def __init__(self, context: BeatContext, templates: TemplateCache) -> None:
        self._context = context
        self._clock = context.clock.now
        self._templates = templates
        self._known: dict[str, _Known] = {}
        #: Definitions that this form cannot be filled with.
        self._refused: dict[str, MessageTemplate] = {}
        self._characters = 0
        self._heads: set[str] = set()
        #: How far the forms of these kinds were when they were waited for.
        self._waited: dict[str, str] = {}
        self._usable = self._completes = False
        self._run_forms = RunForms(context.store)
        #: What is filled, for the script: the meta and the event of every run, then the messages.
        self.forms: list[Any] = []

    def begin_batch(self, now: float) -> None:
        """Work out what is the same for all runs of a batch.

        :param now: Unix seconds.
        """
        context = self._context
        policy = context.config.policy
        self.forms = []
        # Others may have their own idea of what an entry is and of when it ran.
        self._completes = (
            context.publisher.mode == EXACTLY_ONCE and context.entry_class is RedBeatSchedulerEntry
        )
        self._usable = (
            self._templates.usable
            and self._completes
            # With these a decision is about one entry, not about all with the same schedule.
            and not policy.jitter
            and policy.max_runs is None
        )
        if not self._completes:
            return
        self._now = datetime.fromtimestamp(now, UTC)
        self._now_micro = (self._now - _EPOCH) // _MICROSECOND
        self._deadline = context.app.conf.beat_cron_starting_deadline
        self._plain = replace(policy, **_NOT_DECIDING) == PLAIN
        self._prefix = context.store.keys.prefix
        self._numbers: dict[str, tuple[int, MessageTemplate]] = {}
        self._teachers: dict[str, int] = {}
        # With the timing itself, so that its id is that of no other.
        self._plans: dict[tuple[int, str, str], tuple[Any, tuple[str, float, str] | None]] = {}
        self._random, self._used = "", 0
        self._logged = logger.isEnabledFor(20)
        self.forms += self._run_forms.at(context.clock.corrected(context.app.now()))

    def fill(self, due: DueEntry) -> BulkRun | None:
        """The run of *due*; None when it is to be made the long way."""
        if not self._usable:
            return None
        loaded = due.loaded
        # No hash, a policy of its own, or nothing to go by.
        if loaded[1] != "ok" or loaded[4] or not (loaded[2] and loaded[3] and loaded[7]):
            return None
        text, meta, mark = loaded[2], loaded[3], loaded[7]
        known = self._known.get(text) or self._learn(due, text)
        if known is None or known.name != due.name:
            return None
        numbered = self._numbers.get(known.kind) or self._number(known.kind)
        if numbered is None:
            return None
        number, form = numbered
        if known.form is not form:
            # So may be the settings and the task that the texts come from.
            known = self._learn(due, text)
            if known is None or known.form is not form:
                return None
        planned = self._planned(due, known, mark)
        count = self._count(meta)
        if planned is None or count is None:
            return None
        nominal, at, score = planned
        state = loaded[5]
        tag, event_id = self._ids()
        if self._logged:
            logger.info("Scheduler: Sending due task %s (%s)", known.name, known.task)
        content = known.content
        return BulkRun(
            due,
            [
                "filled",
                number,
                known.key,
                due.score,
                known.version if not state else version_of(text, None, state),
                score,
                str(count + 1),
                nominal,
                task_id_of(known.key, nominal),
                tag,
                event_id,
                repr(round(max(self._clock() - at, 0.0), 6)),
                known.subject,
                content.body,
                content.argsrepr,
                content.kwargsrepr,
            ],
        )

    def complete(self, job: PendingRun, sent: PublishResult) -> BulkRun | None:
        """The run of *job*, whose message Celery made; None where more is to be told of it."""
        due, decided, commands = job.step.due, job.plan, sent.commands
        if not self._completes or due is None or decided is None or len(commands) != 1:
            return None
        if decided.gaps or decided.finished or decided.due or decided.next is None:
            return None
        if job.step.progress or json.dumps(sent.task_id) != f'"{sent.task_id}"':
            # Such an id, which the entry chose, would have to be escaped where it is filled in.
            return None
        database, words = commands[0]
        score = score_text(job.step.score)
        _, event_id = self._ids()
        item = [
            "filled",
            0,
            self._prefix + job.name,
            due.score,
            due.record.version,
            score,
            str(job.entry.total_run_count + 1),
            repr(job.nominal),
            sent.task_id,
            "",
            event_id,
            repr(round(max(self._clock() - job.nominal, 0.0), 6)),
            json.dumps(job.name),
            [[str(database), *words]],
        ]
        return BulkRun(due, item)

    def waits_for_form(self, due: DueEntry) -> bool:
        """Whether *due* had better wait for the next batch: others of its kind go first, from
        whose messages a form is made and compared."""
        if not self._usable:
            return False
        try:
            definition = definition_of(due.record)
        except DecodeError:
            return False
        if counted_rules(definition["schedule"]):
            return False
        kind = self._templates.kind_of(definition)
        so_far = self._templates.learning(kind, definition)
        if not so_far or not self._templates.fits(definition):
            return False
        if kind not in self._teachers:
            # Once; should it come to nothing, nobody waits for it any more.
            if self._waited.pop(kind, "") == so_far:
                self._waited[kind] = so_far
                return False
            if len(self._waited) >= _WAITED:
                del self._waited[next(iter(self._waited))]
            self._waited[kind] = so_far
        taught = self._teachers[kind] = self._teachers.get(kind, 0) + 1
        # One that makes a form, and one to compare it with.
        return taught > (2 if so_far == NO_TEMPLATE else 1)

    def _learn(self, due: DueEntry, text: str) -> _Known | None:
        """What is the same in all runs of the definition *text*; None: its runs are not filled,
        or not yet."""
        try:
            definition = named_definition(text, due.name)
        except DecodeError:
            return None
        kind = self._templates.kind_of(definition)
        form = self._templates.ready(kind)
        if form is None or not definition["enabled"] or not form.holds_for(definition):
            return None
        if counted_rules(definition["schedule"]):
            # How far it was counted is put down with each run.
            return None
        if self._refused.get(text) is form:
            return None
        if self._characters > _CHARACTERS:
            self._known.clear()
            self._refused.clear()
            self._characters = 0
        known, anew = None, self._known.pop(text, None) or self._refused.pop(text, None)
        size = len(text) + 500
        if self._templates.fits(definition):
            try:
                content = self._templates.make_content(form, definition)
            except Exception:
                # Whatever is wrong with its arguments, Celery's path says it in its own words.
                content = None
            if content is not None:
                known = _Known(
                    key=self._prefix + definition["name"],
                    name=definition["name"],
                    task=definition["task"],
                    version=version_of(text, None, None),
                    timing=bind(definition["schedule"], self._context.app),
                    kind=kind,
                    form=form,
                    subject=json.dumps(definition["name"]),
                    content=content,
                    every=_every(definition["schedule"]),
                )
                size += content.size
        if anew is None:
            self._characters += size
        if known is None:
            self._refused[text] = form
        else:
            self._known[text] = known
        return known

    def _number(self, kind: str) -> tuple[int, MessageTemplate] | None:
        """The form for messages of this *kind*, and its place among those of the batch."""
        form = self._templates.ready(kind)
        if form is None or form.command is None:
            return None
        self._waited.pop(kind, None)
        pieces: list[str | int] = []
        try:
            times = self._templates.times_of(form)
        except Exception:
            # The app's own messages may be its own to make.
            return None
        for place, piece in enumerate(form.pieces):
            pieces += (PARTS.get(piece) or [times[piece]]) if place % 2 else [piece]
        database, queue = form.command
        self.forms.append([str(database), queue, pieces])
        numbered = self._numbers[kind] = len(self.forms), form
        return numbered

    def _planned(self, due: DueEntry, known: _Known, mark: str) -> tuple[str, float, str] | None:
        """Nominal time (as text, and in Unix seconds) and new score, where the decision is to
        make that run and nothing else."""
        if known.every and self._plain:
            try:
                score = float(mark)
            except ValueError:
                return None
            pair = plan_interval(score, known.every, self._now_micro)
            if pair is None or score != float(due.score):
                return None
            return repr(pair[0]), pair[0], repr(pair[1])
        key = (id(known.timing), due.score, mark)
        try:
            return self._plans[key][1]
        except KeyError:
            found = self._plan(due, known)
            self._plans[key] = known.timing, found
            return found

    def _plan(self, due: DueEntry, known: _Known) -> tuple[str, float, str] | None:
        record = due.record
        if not score_is_ours(record):
            return None
        context = self._context
        try:
            decided = plan(
                record,
                {"enabled": True, "schedule": bind(known.timing, context.app)},
                None,
                self._now,
                self._deadline,
                context.config.policy,
            )
        except Exception:
            # Reported on the long way.
            return None
        if decided.nominal is None or decided.gaps or decided.due or decided.next is None:
            return None
        nominal = decided.nominal.timestamp()
        return repr(nominal), nominal, score_text(decided.score)

    def _count(self, meta: str) -> int | None:
        """The runs counted in *meta*; None when it cannot be read."""
        head, _, tail = meta.rpartition(_COUNT)
        digits = tail[:-1]
        # A head that was read before, and a number after it: then it can be read.
        usual = tail[-1:] == "}" and digits.isdigit() and digits.isascii() and len(digits) < 18
        if usual and (digits[0] != "0" or digits == "0") and head in self._heads:
            return int(digits)
        try:
            count: int = decode_meta(meta)["total_run_count"]
        except DecodeError:
            return None
        if usual and head:
            if len(self._heads) >= _HEADS:
                self._heads.clear()
            self._heads.add(head)
        return count

    def _ids(self) -> tuple[str, str]:
        """A delivery tag, which is a random UUID, and the id of an event."""
        start = self._used
        if start >= len(self._random):
            self._random, start = os.urandom(24 * 250).hex(), 0
        self._used = start + 48
        word = self._random[start : start + 48]
        return (
            f"{word[:8]}-{word[8:12]}-4{word[13:16]}-{'89ab'[int(word[16], 16) & 3]}"
            f"{word[17:20]}-{word[20:32]}"
        ), word[32:]


def _every(timing: Any) -> int:
    if type(timing) is not schedule or timing.relative:
        return 0
    every: int = timing.run_every // _MICROSECOND
    return every
