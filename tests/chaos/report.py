"""What a run came to, as text."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .adversary import Strike
from .oracle import (
    FEW,
    IDS,
    LOST,
    MISREPORTED,
    RUN_DISPATCHED,
    TWICE,
    UNDUE,
    UNEXPECTED,
    UNTOLD,
    Message,
    Note,
    Offence,
    Verdict,
)
from .pattern import SECOND
from .peer import PeerCount

_SHOWN = 10


@dataclass
class Outcome:
    """Everything that is known after a run.

    :ivar title: what was run.
    :ivar started_at: when the load began, Unix seconds.
    :ivar seconds: how long it ran.
    :ivar standbys: how many stood by.
    :ivar peer: what there is in place of the verdict when celery-redbeat was run.
    :ivar died: beats that ended without having been killed.
    :ivar least_rate: messages a second that must be reached.
    :ivar problem: why there is no full verdict; empty when there is.
    """

    title: str
    seed: int
    entries: int = 0
    started_at: float = 0.0
    seconds: float = 0.0
    standbys: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    peer: PeerCount | None = None
    strikes: list[Strike] = field(default_factory=list)
    failovers: list[float] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    died: list[str] = field(default_factory=list)
    least_rate: float = 0.0
    problem: str = ""

    @property
    def clean(self) -> bool:
        """Whether all that must hold did."""
        return self.verdict.clean and not (self.died or self.problem or self.too_slow)

    @property
    def too_slow(self) -> bool:
        """Whether fewer messages a second came than were asked for."""
        return self.rate < self.least_rate

    @property
    def rate(self) -> float:
        """Messages a second, the time in which nobody led or Redis was away included."""
        end = self.started_at + self.seconds
        came = sum(message.seen_at < end for message in self.messages)
        return came / self.seconds if self.seconds else 0.0

    def strikes_of(self, what: str) -> list[Strike]:
        """The strikes of one kind."""
        return [strike for strike in self.strikes if strike.what == what]

    def table(self) -> str:
        """The figures."""
        restarts = self.strikes_of("restart")
        hard = sum(strike.how == "SIGKILL" for strike in restarts)
        rows = [
            ("seed", str(self.seed)),
            ("entries", str(self.entries)),
            ("seconds of load", f"{self.seconds:.0f}"),
            ("leaders killed (SIGKILL)", str(len(self.strikes_of("kill")))),
            ("leaders frozen (SIGSTOP)", str(len(self.strikes_of("freeze")))),
            ("standbys at each", str(self.standbys)),
            ("Redis restarts", f"{len(restarts)} ({hard} of them SIGKILL)"),
            ("Redis stalls (SIGSTOP)", str(len(self.strikes_of("stall")))),
            ("failover", _spread(self.failovers)),
            ("messages a second", f"{self.rate:.0f}{self._missing_rate()}"),
            *(self.peer.rows() if self.peer else self._verdict_rows()),
            ("beats that ended by themselves", str(len(self.died))),
        ]
        lines = [self.title, *(f"  {name:<32}{value}" for name, value in rows)]
        if self.problem:
            lines.append(f"  NO VERDICT: {self.problem}")
        return "\n".join(lines)

    def _missing_rate(self) -> str:
        return f", BELOW the {self.least_rate:g} that it must reach" if self.too_slow else ""

    def _verdict_rows(self) -> list[tuple[str, str]]:
        verdict = self.verdict
        lateness = [
            note.at - note.nominal / SECOND
            for note in self.notes
            if note.type == RUN_DISPATCHED and note.nominal is not None and not note.trigger
        ]
        return [
            ("expected nominal times", str(verdict.expected)),
            ("dispatched", str(verdict.dispatched)),
            ("missed, reported", str(verdict.missed)),
            ("skipped, reported", str(verdict.skipped)),
            ("outside of outages: dispatched", f"{verdict.quiet_dispatched} of {verdict.quiet}"),
            ("requested beside the schedule", str(verdict.requested)),
            ("lateness", _spread(lateness)),
            ("lost", str(verdict.count(LOST))),
            ("twice", str(verdict.count(TWICE))),
            ("unexpected", str(verdict.count(UNEXPECTED))),
            ("misreported", str(verdict.count(MISREPORTED))),
            ("queue and log differ", str(verdict.count(UNTOLD))),
            ("wrong task ids", str(verdict.count(IDS))),
            ("given up without a cause", str(verdict.count(UNDUE))),
            ("too few outside of outages", str(verdict.count(FEW))),
        ]

    def explain(self) -> str:
        """The first offences, with what happened around each."""
        lines = list(self.died[:_SHOWN])
        if self.too_slow:
            lines.append(f"{self.rate:.0f} messages a second, fewer than {self.least_rate:g}")
        for offence in self.verdict.offences[:_SHOWN]:
            lines += ["", f"{offence.kind}: {offence.entry!r} at {_time(offence.nominal)}"]
            lines += [f"  {offence.text}", *self._around(offence)]
        return "\n".join(lines)

    def _around(self, offence: Offence) -> list[str]:
        moment = offence.nominal / SECOND
        seen = [
            *((note.at, f"event {_brief(note)}") for note in self.notes if _near(note, offence)),
            *(
                (message.seen_at, f"message {message.id} of {_time(message.nominal or 0)} read")
                for message in self.messages
                if message.entry == offence.entry and abs(message.seen_at - moment) < 5
            ),
            *(
                (strike.at, f"{strike.what} {strike.how} {strike.pid or ''}")
                for strike in self.strikes
                if abs(strike.at - moment) < 5
            ),
        ]
        return [f"    {_time(at * SECOND)} {text}" for at, text in sorted(seen)]

    def save(self, directory: Path) -> None:
        """Write down everything, a file per kind, a JSON line per item."""
        kinds: dict[str, Sequence[Strike | Message | Note | Offence]] = {
            "strikes": self.strikes,
            "messages": self.messages,
            "events": self.notes,
            "offences": self.verdict.offences,
        }
        for name, items in kinds.items():
            with (directory / f"{name}.jsonl").open("w") as file:
                file.writelines(json.dumps(asdict(item)) + "\n" for item in items)
        (directory / "report.txt").write_text(f"{self.table()}\n{self.explain()}\n")


def _near(note: Note, offence: Offence) -> bool:
    about = note.entry == offence.entry or note.type.startswith("redbeat.leader")
    return about and abs(note.at - offence.nominal / SECOND) < 5


def _brief(note: Note) -> str:
    words = [f"{note.seq} {note.type.removeprefix('redbeat.')} {note.entry!r}"]
    words += [f"of {_time(note.nominal)}"] if note.nominal else []
    words += [f"and {note.count - 1} up to {_time(note.last)}"] if note.last else []
    return " ".join(filter(None, [*words, note.id, note.reason]))


def _time(moment: float) -> str:
    seconds, rest = divmod(int(moment), SECOND)
    return f"{time.strftime('%H:%M:%S', time.gmtime(seconds))}.{rest:06}"


def _spread(seconds: list[float]) -> str:
    if not seconds:
        return "-"
    return f"p50 {statistics.median(seconds):.3f} s, max {max(seconds):.3f} s"
