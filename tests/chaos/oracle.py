"""The verdict over a run: what became of each nominal time. Pure.

It compares three things that know nothing of each other: the times that the load's arithmetic
gives, the messages that came out of the broker's queue, and the events in the log. A run may be
given up only if there was a cause: a policy of its entry, or an outage.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from .outages import Outages
from .pattern import SECOND, Pattern

#: The events that the verdict reads.
RUN_DISPATCHED = "redbeat.run.dispatched"
RUN_MISSED = "redbeat.run.missed"
RUN_SKIPPED = "redbeat.run.skipped"
RUN_REQUESTED = "redbeat.run.requested"
TOLD = (RUN_DISPATCHED, RUN_MISSED, RUN_SKIPPED)

#: What can be wrong with a nominal time; the first two are what the whole thing is about.
LOST = "lost"
TWICE = "twice"
UNEXPECTED = "unexpected"
MISREPORTED = "misreported"
UNTOLD = "untold"
IDS = "ids"
UNDUE = "undue"
FEW = "few"
OFFENCES = (LOST, TWICE, UNEXPECTED, MISREPORTED, UNTOLD, IDS, UNDUE, FEW)

#: Seconds after which a request that nobody took is given up, where nothing else is said.
REQUEST_EXPIRES = 3600.0
#: Seconds by which an event may be dated before what it tells of: it is dated roundly.
_ROUND = 0.01


@dataclass(frozen=True, slots=True)
class Causes:
    """What may keep runs from being made.

    :ivar ruled: the entries with a policy of their own; what it gives up is not looked into.
    :ivar outages: when nothing could be dispatched.
    :ivar margin: seconds before each outage in which a batch was cut off by it, and after it in
        which what had piled up may still be waiting.
    :ivar least: the share of the nominal times outside of the outages that must be dispatched, of
        all entries.
    """

    ruled: Container[str] = ()
    outages: Outages = field(default_factory=Outages)
    margin: float = 0.0
    least: float = 0.0


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the broker's queue.

    :ivar nominal: microseconds; None where the message does not say.
    :ivar trigger: the request that it comes from; empty: the schedule.
    :ivar seen_at: when it was read, Unix seconds.
    :ivar reservation: of celery-redbeat: the last run before it, and its own; microseconds.
    """

    entry: str
    nominal: int | None
    id: str
    seen_at: float = 0.0
    reservation: tuple[int | None, int] | None = None
    trigger: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """An event of the log.

    :ivar at: when it was emitted, Unix seconds.
    :ivar source: by whom.
    :ivar nominal: microseconds: of the run, or the first of the times that were given up.
    :ivar last: the last of them; None where the event does not say.
    :ivar count: how many there were.
    :ivar more: there were so many that they were not counted to the end.
    :ivar trigger: the request that it is about; empty: the schedule.
    """

    seq: int
    type: str
    entry: str
    at: float
    nominal: int | None = None
    last: int | None = None
    count: int = 0
    reason: str = ""
    id: str = ""
    source: str = ""
    more: bool = False
    trigger: str = ""


@dataclass(frozen=True, slots=True)
class Offence:
    """Something that must not be.

    :ivar kind: one of :data:`OFFENCES`.
    :ivar nominal: microseconds; 0 where there is none to name.
    """

    kind: str
    entry: str
    nominal: int
    text: str


@dataclass
class Verdict:
    """What became of all nominal times of the window.

    :ivar expected: how many there were.
    :ivar dispatched: how many of them were enqueued.
    :ivar missed: how many were reported as missed.
    :ivar skipped: how many were reported as skipped.
    :ivar requested: how many runs were requested beside the schedule.
    :ivar quiet: how many of the nominal times lie outside of all outages.
    :ivar quiet_dispatched: how many of these were enqueued.
    """

    expected: int = 0
    dispatched: int = 0
    missed: int = 0
    skipped: int = 0
    requested: int = 0
    quiet: int = 0
    quiet_dispatched: int = 0
    offences: list[Offence] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """How many offences of one kind."""
        return sum(offence.kind == kind for offence in self.offences)

    @property
    def clean(self) -> bool:
        """Whether nothing at all was wrong."""
        return not self.offences


def judge(
    patterns: Mapping[str, Pattern],
    until: int,
    messages: Iterable[Message],
    notes: Iterable[Note],
    causes: Causes,
) -> Verdict:
    """Every nominal time up to *until* must be enqueued once or be given up once with a reason.

    Later ones may be there too: at most once, and only where the pattern has them. Likewise every
    run that was requested must be enqueued or be given up, once.

    Times of an entry without a policy may be given up only where the run of the time before them
    stands for them, which was made after they had come; and only if an outage lasted all the time
    for which that run was waited for.

    :param patterns: the nominal times of each entry, by its name.
    :param until: the end of the window, microseconds.
    """
    court = _Court(patterns, causes)
    for message in messages:
        court.hear_message(message)
    for note in notes:
        court.hear_note(note)
    court.close(until)
    return court.verdict


class _Court:
    def __init__(self, patterns: Mapping[str, Pattern], causes: Causes) -> None:
        self.verdict = Verdict()
        self._patterns, self._causes = patterns, causes
        self._excused = causes.outages.lengthened(causes.margin)
        self._enqueued: dict[str, Counter[int]] = defaultdict(Counter)
        self._given_up: dict[str, Counter[int]] = defaultdict(Counter)
        self._skipped: set[tuple[str, int]] = set()
        self._ids: dict[tuple[str, int], str] = {}
        self._runs: dict[str, tuple[str, int | str]] = {}
        self._told: Counter[tuple[str, int, str]] = Counter()
        #: When the run of a nominal time was told of.
        self._made_at: dict[tuple[str, int], float] = {}
        self._missed: list[Note] = []
        self._requested: dict[str, Note] = {}
        self._answers: dict[str, Counter[str]] = defaultdict(Counter)
        #: Entry, request and id of the runs that were requested: the messages, and the events.
        self._answered: Counter[tuple[str, str, str]] = Counter()
        self._answered_told: Counter[tuple[str, str, str]] = Counter()

    def hear_message(self, message: Message) -> None:
        if message.trigger:
            self._hear_answer(message)
            return
        entry, nominal = message.entry, message.nominal
        if nominal is None or not self._expects(entry, nominal):
            self._find(UNEXPECTED, entry, nominal or 0, f"enqueued as {message.id}")
            return
        self._enqueued[entry][nominal] += 1
        if self._enqueued[entry][nominal] > 1:
            self._find(TWICE, entry, nominal, f"enqueued again, as {message.id}")
        run = (entry, nominal)
        if self._ids.setdefault(run, message.id) != message.id:
            self._find(IDS, entry, nominal, f"has the ids {self._ids[run]} and {message.id}")
        if self._runs.setdefault(message.id, run) != run:
            self._find(IDS, entry, nominal, f"has the id of another run: {self._runs[message.id]}")

    def _hear_answer(self, message: Message) -> None:
        run = (message.entry, message.trigger)
        self._answers[message.trigger][message.entry] += 1
        self._answered[*run, message.id] += 1
        if self._runs.setdefault(message.id, run) != run:
            text = f"has the id of another run: {self._runs[message.id]}"
            self._find(IDS, message.entry, 0, f"the requested run {message.trigger} {text}")

    def hear_note(self, note: Note) -> None:
        if note.type == RUN_REQUESTED:
            self.verdict.requested += 1
            self._requested[note.trigger] = note
        elif note.trigger:
            if note.type == RUN_MISSED:
                self._answers[note.trigger][note.entry] += 1
                self._missed.append(note)
            elif note.type == RUN_DISPATCHED:
                self._answered_told[note.entry, note.trigger, note.id] += 1
        elif note.type == RUN_DISPATCHED and note.nominal is not None:
            self._told[note.entry, note.nominal, note.id] += 1
            self._made_at[note.entry, note.nominal] = note.at
        elif note.type in (RUN_MISSED, RUN_SKIPPED):
            self._hear_of_given_up(note)

    def _hear_of_given_up(self, note: Note) -> None:
        pattern = self._patterns.get(note.entry)
        if pattern is None or note.nominal is None or note.last is None:
            self._find(MISREPORTED, note.entry, note.nominal or 0, f"cannot be understood: {note}")
            return
        times = list(pattern.between(note.nominal, note.last))
        whole = times and times[0] == note.nominal and times[-1] == note.last
        counted = note.count < len(times) if note.more else note.count == len(times)
        if not whole or not counted:
            text = f"event {note.seq} counts {note.count} where there are {len(times)}: {note}"
            self._find(MISREPORTED, note.entry, note.nominal, text)
        if not note.reason:
            self._find(MISREPORTED, note.entry, note.nominal, f"event {note.seq} gives no reason")
        if note.type == RUN_SKIPPED:
            self._skipped.update((note.entry, nominal) for nominal in times)
        self._given_up[note.entry].update(times)
        if note.entry not in self._causes.ruled:
            self._missed.append(note)

    def close(self, until: int) -> None:
        for entry, pattern in self._patterns.items():
            enqueued, given_up = self._enqueued[entry], self._given_up[entry]
            for nominal in pattern.between(pattern.first, until):
                self.verdict.expected += 1
                if not self._causes.outages.cover(nominal / SECOND, nominal / SECOND):
                    self.verdict.quiet += 1
                    self.verdict.quiet_dispatched += bool(enqueued[nominal])
                if enqueued[nominal]:
                    self.verdict.dispatched += 1
                elif (entry, nominal) in self._skipped:
                    self.verdict.skipped += 1
                elif given_up[nominal]:
                    self.verdict.missed += 1
                else:
                    self._find(LOST, entry, nominal, "neither enqueued nor reported")
            for nominal, times in given_up.items():
                if enqueued[nominal]:
                    self._find(MISREPORTED, entry, nominal, "enqueued, and reported as given up")
                if times > 1:
                    self._find(MISREPORTED, entry, nominal, f"reported as given up {times} times")
        self._close_requests()
        self._compare_with_log()
        self._ask_for_causes()

    def _ask_for_causes(self) -> None:
        for note in self._missed:
            why = self._undue_request(note) if note.trigger else self._undue(note)
            if why:
                text = f"event {note.seq} gives up {note.count}: {why}"
                self._find(UNDUE, note.entry, note.nominal or 0, text)
        quiet, made = self.verdict.quiet, self.verdict.quiet_dispatched
        if made < self._causes.least * quiet:
            text = f"only {made} of {quiet} nominal times outside of all outages were enqueued"
            self._find(FEW, "", 0, text)

    def _undue(self, note: Note) -> str:
        """Why an entry without a policy must not give these times up; empty: it may."""
        if note.nominal is None or note.last is None:
            return ""
        if note.type == RUN_SKIPPED:
            return "it has no policy that skips any"
        before = self._patterns[note.entry].before(note.nominal)
        made_at = None if before is None else self._made_at.get((note.entry, before))
        if before is None or made_at is None:
            return "no run stands for them"
        waited_since, last = before / SECOND, note.last / SECOND
        if made_at < last - _ROUND:
            return "the run before them was made before they came"
        if not self._excused.cover(waited_since, last):
            return f"no outage explains why nothing ran for {last - waited_since:.3f} s"
        return ""

    def _undue_request(self, note: Note) -> str:
        asked = self._requested.get(note.trigger)
        if asked is not None and note.at - asked.at < REQUEST_EXPIRES - _ROUND:
            return f"it was asked for only {note.at - asked.at:.3f} s before"
        return ""

    def _close_requests(self) -> None:
        for trigger, asked in self._requested.items():
            entry = asked.entry
            answers = self._answers[trigger][entry]
            if answers == 0:
                self._find(LOST, entry, 0, f"the requested run {trigger} was never made")
            elif answers > 1:
                self._find(TWICE, entry, 0, f"the requested run {trigger} came {answers} times")
        for trigger, entries in self._answers.items():
            asked_for = self._requested.get(trigger)
            for entry in entries.keys() - {asked_for and asked_for.entry}:
                self._find(UNEXPECTED, entry, 0, f"nobody requested the run {trigger} of it")

    def _compare_with_log(self) -> None:
        for (entry, nominal), id_ in self._ids.items():
            if self._told[entry, nominal, id_] != self._enqueued[entry][nominal]:
                told = self._told[entry, nominal, id_]
                self._find(UNTOLD, entry, nominal, f"the log tells {told} times of {id_}")
        for entry, nominal, id_ in self._told:
            if self._ids.get((entry, nominal)) != id_:
                self._find(UNTOLD, entry, nominal, f"the log tells of {id_}, which did not come")
        for run in self._answered.keys() | self._answered_told.keys():
            came, told = self._answered[run], self._answered_told[run]
            if came != told:
                entry, trigger, id_ = run
                text = f"the requested run {trigger} came {came} times as {id_}"
                self._find(UNTOLD, entry, 0, f"{text}, and the log tells {told} times of it")

    def _expects(self, entry: str, nominal: int) -> bool:
        return entry in self._patterns and self._patterns[entry].contains(nominal)

    def _find(self, kind: str, entry: str, nominal: int, text: str) -> None:
        self.verdict.offences.append(Offence(kind, entry, nominal, text))
