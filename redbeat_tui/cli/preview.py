"""``redbeat-tui preview``: shows when a schedule runs, and how clock changes affect it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

import click

from redbeat_core.schedules import (
    BaseSchedule,
    DstPolicy,
    Outlook,
    ScheduleError,
    clock_effects,
    format_schedule,
    outlook,
    parse_schedule,
)
from redbeat_core.schedules.recurrence.zones import find_zone
from redbeat_core.schedules.text.datetimes import parse_moment
from redbeat_core.schedules.text.tokens import Word
from redbeat_tui.text.format import timestamp
from redbeat_tui.text.sanitize import clean
from redbeat_tui.text.schedule_preview import BUDGET, pace

from .common import Refusal, common, sentences, the_options

MOST = 10_000


@dataclass(frozen=True, slots=True)
class PreviewLine:
    """A nominal time, with notes about clock changes.

    :ivar notes: the effects of clock changes, as text.
    :ivar runs: False for a nominal time that is skipped.
    """

    at: datetime
    notes: tuple[str, ...] = ()
    runs: bool = True


def register(group: click.Group) -> None:
    """Add the commands of this module."""
    group.add_command(preview_schedule)


@click.command("preview")
@common
@click.argument("schedule")
@click.option("--tz", metavar="ZONE", help="The zone of crontabs and of times without one.")
@click.option("--from", "start", metavar="TIME", help="As in '2026-03-28 12:00'; default: now.")
@click.option(
    "--count", type=click.IntRange(1, MOST), default=10, show_default=True, help="How many runs."
)
@click.option(
    "--nonexistent",
    type=click.Choice(("shift", "skip")),
    default="shift",
    show_default=True,
    help="For a local time that the clock jumps over.",
)
@click.option(
    "--ambiguous",
    type=click.Choice(("first", "last", "both")),
    default="first",
    show_default=True,
    help="For a local time that comes twice.",
)
@click.option("--json", "as_json", is_flag=True, help="For machines: a JSON object.")
@sentences
def preview_schedule(
    schedule: str,
    tz: str | None,
    start: str | None,
    count: int,
    nonexistent: Any,
    ambiguous: Any,
    as_json: bool,
) -> None:
    """Show when SCHEDULE would run, and how clock changes affect it. Needs no server.

    \b
    redbeat-tui preview "30 2 * * *" --tz Europe/Berlin --from "2026-03-27 12:00" --count 4
    redbeat-tui preview "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9"
    """
    options = the_options()
    try:
        zone: tzinfo = find_zone(tz or options.timezone or "") if tz or options.timezone else UTC
    except ValueError as exc:
        raise Refusal(str(exc)) from exc
    if not tz and not options.timezone:
        zone = options.app.timezone
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        now = now if start is None else parse_moment(Word(start, 0), zone).astimezone(UTC)
    except ScheduleError as exc:
        raise Refusal(f"--from: {exc}") from exc
    try:
        parsed = parse_schedule(schedule, zone, now=now)
    except ScheduleError as exc:
        where = f" (at column {exc.column + 1})" if exc.column is not None else ""
        raise Refusal(f"{exc}{where}") from exc
    options.app.conf.timezone = getattr(zone, "key", None) or "UTC"
    options.app.__dict__.pop("timezone", None)
    parsed.app = options.app
    dst = DstPolicy(nonexistent, ambiguous)
    runs = outlook(parsed, now, count, BUDGET, anchor=now, dst=dst)
    lines = preview_lines(parsed, zone, now, runs.times, dst)
    if as_json:
        click.echo(json.dumps(_as_json(parsed, lines, runs), indent=2))
        return
    click.echo(clean(runs.words or schedule))
    for line in lines:
        glyph = "·" if line.runs else "✗"
        notes = f"  {'; '.join(line.notes)}" if line.notes else ""
        click.echo(
            f"  {glyph if not line.notes or not line.runs else '▲'} "
            f"{timestamp(line.at, zone, fraction=True):<29}{notes}".rstrip()
        )
    if not runs.complete:
        click.echo(f"  … only {len(runs.times)} could be computed in {BUDGET:g} s")
    elif len(runs.times) < count:
        click.echo("  that is all: then it is finished")
    if average := pace(runs):
        click.echo(average)


def preview_lines(
    schedule: BaseSchedule,
    zone: tzinfo,
    start: datetime,
    runs: Sequence[datetime],
    dst: DstPolicy,
) -> list[PreviewLine]:
    """Return a line for each run and for each nominal time that a clock change skips."""
    if not runs:
        return []
    notes: dict[datetime, list[str]] = {run: [] for run in runs}
    lines = []
    for effect in clock_effects(schedule, zone, start, runs, dst):
        if not effect.runs:
            lines.append(PreviewLine(effect.at, (effect.text,), runs=False))
        else:
            notes[effect.at].append(effect.text)
    lines += [PreviewLine(run, tuple(notes[run])) for run in runs]
    return sorted(lines, key=lambda line: (line.at, line.runs))


def _as_json(schedule: BaseSchedule, lines: Sequence[PreviewLine], runs: Outlook) -> dict[str, Any]:
    average = runs.average_gap
    return {
        "schedule": format_schedule(schedule),
        "schedule_in_words": runs.words,
        "average_gap": None if average is None else average.total_seconds(),
        "complete": runs.complete,
        "times": [
            {
                "at": line.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
                "runs": line.runs,
                "notes": list(line.notes),
            }
            for line in lines
        ],
    }
