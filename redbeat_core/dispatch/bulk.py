"""Many plain runs in one commit, filled in by the script.

An entry whose message has a template, that makes one plain run and goes on, is put into the commit
as the few texts that are its own; the script fills them into the message, the meta and the event.
Every other entry becomes a :class:`.runs.PendingRun`; both ways give the same result.
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
from redbeat_core.entries.record import bind, named_definition, version_of
from redbeat_core.entry import RedBeatSchedulerEntry
from redbeat_core.planning.plan import plan, plan_interval
from redbeat_core.schedules.types.count_progress import counted_rules
from redbeat_core.storage.commit_steps import BulkItem, BulkRun, ClaimedEntry
from redbeat_core.storage.schedule_store import score_text

from .bulk_templates import MESSAGE_PLACES, BulkTemplates
from .context import BeatContext
from .due_entry import DueEntry, kind_of
from .messages.learned import NO_TEMPLATE
from .messages.template import EncodedArguments, MessageTemplate
from .messages.template_cache import TemplateCache
from .runs import PendingRun, task_id_of

logger = get_logger("celery.beat")

#: How many characters of definitions are kept with what they give, and how many heads of metas.
_MOST_CHARACTERS, _MOST_HEADS = 50_000_000, 10_000
#: How many kinds that entries were deferred for are kept.
_MOST_DEFERRED = 2000
#: Members of a policy that decide nothing about an interval that is on time, but for the next
#: run of an entry that is finished, or of its local time.
_NOT_DECIDING = {name: getattr(PLAIN, name) for name in ("nonexistent", "ambiguous")}
_NOT_DECIDING |= {name: getattr(PLAIN, name) for name in ("keep_finished", "catchup_limit")}
_EPOCH, _MICROSECOND = datetime.fromtimestamp(0, UTC), timedelta(microseconds=1)
_COUNT = ', "total_run_count": '

#: A decision: the nominal time as text and in Unix seconds, and the new score as text.
_Decision = tuple[str, float, str]


@dataclass(frozen=True, slots=True)
class _BulkDefinition:
    """The parts that all runs of a definition share, as long as their template is the same.

    :ivar kind: the kind of its messages.
    :ivar subject: its name as JSON.
    :ivar every: microseconds, where its schedule is a plain interval; else 0.
    """

    key: str
    name: str
    task: str
    version: str
    timing: Any
    kind: str
    template: MessageTemplate
    subject: str
    arguments: EncodedArguments
    every: int


class BulkDispatch:
    """Makes the bulk runs of one scheduler.

    :ivar templates: for the script: of the meta and the event of every run, then of the messages.
    """

    def __init__(self, context: BeatContext, templates: TemplateCache) -> None:
        self._context = context
        self._clock = context.clock.now
        self._cache = templates
        self._prefix = context.store.keys.prefix
        self._definitions: dict[str, _BulkDefinition] = {}
        #: Definitions whose runs this template cannot give.
        self._refused: dict[str, MessageTemplate] = {}
        self._characters = 0
        self._heads: set[str] = set()
        #: The learning states of the kinds that entries were deferred for.
        self._deferred: dict[str, str] = {}
        self._usable = False
        self._completes = False
        self._run_templates = BulkTemplates(context.store.source)
        self.templates: list[Any] = []
        # What is the same for all runs of a batch.
        self._now = _EPOCH
        self._now_micro = 0
        self._deadline: float | None = None
        self._plain = False
        self._numbers: dict[str, tuple[int, MessageTemplate]] = {}
        self._samples: dict[str, int] = {}
        #: With the schedule itself, so that its id is that of no other.
        self._decisions: dict[tuple[int, str, str], tuple[Any, _Decision | None]] = {}
        self._random = ""
        self._used = 0
        self._logged = False

    def begin_batch(self, now: float) -> None:
        """Work out what is the same for all runs of a batch.

        :param now: Unix seconds.
        """
        context = self._context
        policy = context.config.policy
        self.templates = []
        # Others may have their own idea of what an entry is and of when it ran.
        self._completes = (
            context.publisher.mode == EXACTLY_ONCE
            and context.scheduler.Entry is RedBeatSchedulerEntry
        )
        self._usable = (
            self._cache.usable
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
        self._numbers = {}
        self._samples = {}
        self._decisions = {}
        self._random = ""
        self._used = 0
        self._logged = logger.isEnabledFor(20)
        last_run_at = context.clock.corrected(context.app.now())
        self.templates += self._run_templates.build(last_run_at, now)

    def make(self, claimed: ClaimedEntry) -> BulkRun | None:
        """The bulk run of *claimed*; None when it is to be made the other way."""
        if not self._usable:
            return None
        loaded = claimed.loaded
        # No hash, a policy of its own, or nothing to go by.
        if loaded[1] != "ok" or loaded[4] or not (loaded[2] and loaded[3] and loaded[7]):
            return None
        text, meta, due_field = loaded[2], loaded[3], loaded[7]
        definition = self._definitions.get(text) or self._learn(claimed, text)
        if definition is None or definition.name != claimed.name:
            return None
        numbered = self._numbers.get(definition.kind) or self._number(definition.kind)
        if numbered is None:
            return None
        number, template = numbered
        if definition.template is not template:
            # The settings and the task that its texts come from may be new, too.
            definition = self._learn(claimed, text)
            if definition is None or definition.template is not template:
                return None
        decision = self._decide(claimed, definition, due_field)
        count = self._run_count(meta)
        if decision is None or count is None:
            return None
        nominal, at, score = decision
        state = loaded[5]
        tag, event_id = self._ids()
        if self._logged:
            logger.info("Scheduler: Sending due task %s (%s)", definition.name, definition.task)
        arguments = definition.arguments
        item = BulkItem(
            "bulk",
            number,
            definition.key,
            claimed.score,
            definition.version if not state else version_of(text, None, state),
            score,
            str(count + 1),
            nominal,
            task_id_of(definition.key, nominal),
            tag,
            event_id,
            repr(round(max(self._clock() - at, 0.0), 6)),
            definition.subject,
            arguments.body,
            arguments.argsrepr,
            arguments.kwargsrepr,
        )
        return BulkRun(claimed, item)

    def complete(self, run: PendingRun, result: PublishResult) -> BulkRun | None:
        """*run*, whose message Celery made, as a bulk run; None where it has more to commit."""
        due, decided, commands = run.due, run.plan, result.commands
        if not self._completes or due is None or decided is None or len(commands) != 1:
            return None
        if decided.gaps or decided.finished or decided.due or decided.next is None:
            return None
        if run.step.progress or json.dumps(result.task_id) != f'"{result.task_id}"':
            # Such an id, which the entry chose, would have to be escaped where it is filled in.
            return None
        database, words = commands[0]
        _, event_id = self._ids()
        item = BulkItem(
            "bulk",
            0,
            self._prefix + run.name,
            due.claimed.score,
            due.record.version,
            repr(run.step.score),
            str(run.entry.total_run_count + 1),
            repr(run.nominal),
            result.task_id,
            "",
            event_id,
            repr(round(max(self._clock() - run.nominal, 0.0), 6)),
            json.dumps(run.name),
            [[str(database), *words]],
        )
        return BulkRun(due.claimed, item)

    def should_defer(self, due: DueEntry) -> bool:
        """Whether to leave *due* to the next batch: others of its kind go first, from whose
        messages a template is made and compared."""
        if not self._usable or not due.definition or due.counts:
            return False
        kind = due.kind
        state = self._cache.templates.state(kind, due.definition)
        if not state or not self._cache.fits(due.definition):
            return False
        if kind not in self._samples:
            # Defer once: if no template results from it, no entry is deferred for it any more.
            if self._deferred.pop(kind, "") == state:
                self._deferred[kind] = state
                return False
            if len(self._deferred) >= _MOST_DEFERRED:
                del self._deferred[next(iter(self._deferred))]
            self._deferred[kind] = state
        samples = self._samples[kind] = self._samples.get(kind, 0) + 1
        # One that makes a template, and one to compare it with.
        return samples > (2 if state == NO_TEMPLATE else 1)

    def _learn(self, claimed: ClaimedEntry, text: str) -> _BulkDefinition | None:
        """Work out the parts that all runs of the definition *text* share; None: its runs are not
        bulk runs, or not yet.
        """
        try:
            definition = named_definition(text, claimed.name)
        except DecodeError:
            return None
        kind = kind_of(definition)
        learned = self._cache.templates.ready(kind)
        if learned is None or not definition["enabled"] or not learned.holds_for(definition):
            return None
        if counted_rules(definition["schedule"]):
            # How far it was counted is stored with each run.
            return None
        template = learned.value
        if template is None or self._refused.get(text) is template:
            return None
        if self._characters > _MOST_CHARACTERS:
            self._definitions.clear()
            self._refused.clear()
            self._characters = 0
        bulk = None
        before = self._definitions.pop(text, None) or self._refused.pop(text, None)
        size = len(text) + 500
        if self._cache.fits(definition):
            try:
                arguments = self._cache.encode_arguments(template, definition)
            except Exception:
                # Whatever is wrong with its arguments, Celery's path says it in its own words.
                arguments = None
            if arguments is not None:
                bulk = _BulkDefinition(
                    key=self._prefix + definition["name"],
                    name=definition["name"],
                    task=definition["task"],
                    version=version_of(text, None, None),
                    timing=bind(definition["schedule"], self._context.app),
                    kind=kind,
                    template=template,
                    subject=json.dumps(definition["name"]),
                    arguments=arguments,
                    every=_every(definition["schedule"]),
                )
                size += arguments.size
        if before is None:
            self._characters += size
        if bulk is None:
            self._refused[text] = template
        else:
            self._definitions[text] = bulk
        return bulk

    def _number(self, kind: str) -> tuple[int, MessageTemplate] | None:
        """The template for messages of this *kind*, and its place among those of the batch."""
        learned = self._cache.templates.ready(kind)
        if learned is None or learned.value is None:
            return None
        template = learned.value
        self._deferred.pop(kind, None)
        pieces: list[str | int] = []
        try:
            times = self._cache.times_of(template)
        except Exception:
            # The app's own messages may be its own to make.
            return None
        for place, piece in enumerate(template.pieces):
            pieces += (MESSAGE_PLACES.get(piece) or [times[piece]]) if place % 2 else [piece]
        self.templates.append([str(template.database), template.queue, pieces])
        numbered = self._numbers[kind] = len(self.templates), template
        return numbered

    def _decide(
        self, claimed: ClaimedEntry, definition: _BulkDefinition, due_field: str
    ) -> _Decision | None:
        """The decision for *claimed*, where it is to make one run and nothing else."""
        if definition.every and self._plain:
            try:
                score = float(due_field)
            except ValueError:
                return None
            pair = plan_interval(score, definition.every, self._now_micro)
            if pair is None or score != float(claimed.score):
                return None
            return repr(pair[0]), pair[0], repr(pair[1])
        key = (id(definition.timing), claimed.score, due_field)
        try:
            return self._decisions[key][1]
        except KeyError:
            decision = self._plan(claimed, definition)
            self._decisions[key] = definition.timing, decision
            return decision

    def _plan(self, claimed: ClaimedEntry, definition: _BulkDefinition) -> _Decision | None:
        record = claimed.record
        if not score_is_ours(record):
            return None
        context = self._context
        try:
            decided = plan(
                record,
                {"enabled": True, "schedule": bind(definition.timing, context.app)},
                None,
                self._now,
                self._deadline,
                context.config.policy,
            )
        except Exception:
            # Reported where the run is made the other way.
            return None
        if decided.nominal is None or decided.gaps or decided.due or decided.next is None:
            return None
        nominal = decided.nominal.timestamp()
        return repr(nominal), nominal, score_text(decided.score)

    def _run_count(self, meta: str) -> int | None:
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
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            self._heads.add(head)
        return count

    def _ids(self) -> tuple[str, str]:
        """A delivery tag, which is a random UUID, and the id of an event."""
        start = self._used
        if start >= len(self._random):
            self._random = os.urandom(24 * 250).hex()
            start = 0
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
