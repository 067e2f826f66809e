"""The verdict over a run: what became of each nominal time. Pure.

It compares three things that know nothing of each other: the times that the load's arithmetic
gives, the messages that came out of the broker's queue, and the events in the log.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .pattern import Pattern

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
OFFENCES = (LOST, TWICE, UNEXPECTED, MISREPORTED, UNTOLD, IDS)


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
    """

    expected: int = 0
    dispatched: int = 0
    missed: int = 0
    skipped: int = 0
    requested: int = 0
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
) -> Verdict:
    """Every nominal time up to *until* must be enqueued once or be given up once with a reason.

    Later ones may be there too: at most once, and only where the pattern has them. Likewise every
    run that was requested must be enqueued or be given up, once.

    :param patterns: the nominal times of each entry, by its name.
    :param until: the end of the window, microseconds.
    """
    court = _Court(patterns)
    for message in messages:
        court.hear_message(message)
    for note in notes:
        court.hear_note(note)
    court.close(until)
    return court.verdict


class _Court:
    def __init__(self, patterns: Mapping[str, Pattern]) -> None:
        self.verdict = Verdict()
        self._patterns = patterns
        self._enqueued: dict[str, Counter[int]] = defaultdict(Counter)
        self._given_up: dict[str, Counter[int]] = defaultdict(Counter)
        self._skipped: set[tuple[str, int]] = set()
        self._ids: dict[tuple[str, int], str] = {}
        self._runs: dict[str, tuple[str, int]] = {}
        self._told: Counter[tuple[str, int, str]] = Counter()
        self._requested: dict[str, str] = {}
        self._answers: dict[str, Counter[str]] = defaultdict(Counter)

    def hear_message(self, message: Message) -> None:
        if message.trigger:
            self._answers[message.trigger][message.entry] += 1
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

    def hear_note(self, note: Note) -> None:
        if note.type == RUN_REQUESTED:
            self.verdict.requested += 1
            self._requested[note.trigger] = note.entry
        elif note.trigger:
            if note.type == RUN_MISSED:
                self._answers[note.trigger][note.entry] += 1
        elif note.type == RUN_DISPATCHED and note.nominal is not None:
            self._told[note.entry, note.nominal, note.id] += 1
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

    def close(self, until: int) -> None:
        for entry, pattern in self._patterns.items():
            enqueued, given_up = self._enqueued[entry], self._given_up[entry]
            for nominal in pattern.between(pattern.first, until):
                self.verdict.expected += 1
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

    def _close_requests(self) -> None:
        for trigger, entry in self._requested.items():
            answers = self._answers[trigger][entry]
            if answers == 0:
                self._find(LOST, entry, 0, f"the requested run {trigger} was never made")
            elif answers > 1:
                self._find(TWICE, entry, 0, f"the requested run {trigger} came {answers} times")
        for trigger, entries in self._answers.items():
            for entry in entries.keys() - {self._requested.get(trigger)}:
                self._find(UNEXPECTED, entry, 0, f"nobody requested the run {trigger} of it")

    def _compare_with_log(self) -> None:
        for (entry, nominal), id_ in self._ids.items():
            if self._told[entry, nominal, id_] != self._enqueued[entry][nominal]:
                told = self._told[entry, nominal, id_]
                self._find(UNTOLD, entry, nominal, f"the log tells {told} times of {id_}")
        for entry, nominal, id_ in self._told:
            if self._ids.get((entry, nominal)) != id_:
                self._find(UNTOLD, entry, nominal, f"the log tells of {id_}, which did not come")

    def _expects(self, entry: str, nominal: int) -> bool:
        return entry in self._patterns and self._patterns[entry].contains(nominal)

    def _find(self, kind: str, entry: str, nominal: int, text: str) -> None:
        self.verdict.offences.append(Offence(kind, entry, nominal, text))
