"""``redbeat-tui list`` and ``redbeat-tui show``: print the schedule, or one entry."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

import click

from redbeat_core.entries.names import check_name
from redbeat_core.entries.record import json_object
from redbeat_tui.config import open_store
from redbeat_tui.live.filter import parse_filter
from redbeat_tui.live.listing import SORTS, Listing
from redbeat_tui.live.model import Model
from redbeat_tui.live.row import Row, outcome_status
from redbeat_tui.text.format import ago, at, countdown, fit, status_text, timestamp, width
from redbeat_tui.text.policy_text import counts_text, no_run_because, policy_lines
from redbeat_tui.text.sanitize import clean, clean_lines
from redbeat_tui.text.schedule_preview import next_runs, pace, schedule_text

from .common import Refusal, common, options_in_force, sentences, zone_of

#: The most cells of a column of ``list``; ``show`` prints the texts in full.
WIDEST = 44


def register(group: click.Group) -> None:
    """Add the commands of this module."""
    group.add_command(list_entries)
    group.add_command(show_entry)


@click.command("list")
@common
@click.option("--json", "as_json", is_flag=True, help="For machines: a JSON array, names raw.")
@click.option("--filter", "filter_text", default="", metavar="TEXT", help="As behind / inside.")
@click.option(
    "--sort", type=click.Choice(sorted(SORTS)), default="next", show_default=True, help="Order."
)
@sentences
def list_entries(as_json: bool, filter_text: str, sort: str) -> None:
    """List the entries, by their next run."""
    options = options_in_force()
    store = open_store(options)
    zone = zone_of(options, store)
    snapshot = store.snapshot()
    model = Model(lambda: snapshot.taken_at, options.app)
    model.apply(snapshot)
    chosen = parse_filter(filter_text)
    if chosen.error:
        raise Refusal(chosen.error)
    listing = Listing()
    listing.arrange(model.rows, filter=chosen, sort=sort, now=snapshot.taken_at)
    if as_json:
        entries = [entry_json(row, snapshot.taken_at) for row in listing.rows]
        click.echo(json.dumps(entries, indent=2))
    else:
        for line in table(listing.rows, snapshot.taken_at, zone):
            click.echo(line)


@click.command("show")
@common
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="For machines: a JSON object, texts raw.")
@sentences
def show_entry(name: str, as_json: bool) -> None:
    """Show one entry: definition, state, last outcome, next runs."""
    options = options_in_force()
    check_name(name)
    store = open_store(options)
    zone = zone_of(options, store)
    record = store.get(name)
    if record is None:
        raise Refusal(
            f"there is no entry {name!r} below the prefix {store.keys.prefix!r}; "
            "`redbeat-tui list` shows what there is"
        )
    now = store.server_time()
    row = Row(record, options.app)
    if as_json:
        click.echo(json.dumps(entry_json(row, now, full=True), indent=2))
    else:
        for line in description(row, now, zone):
            click.echo(line)


def table(rows: Sequence[Row], now: float, zone: tzinfo) -> list[str]:
    """Return the lines of the table; each entry takes one line, whatever its name holds."""
    lines = [("NAME", "TASK", "SCHEDULE", "NEXT RUN", "DUE", "LAST RUN", "STATUS", "REASON")]
    for row in rows:
        facts = row.facts
        lines.append(
            (
                clean(row.name, 400),
                clean(facts.task, 200) or "-",
                clean(facts.schedule, 200) or "-",
                at(facts.due, now, zone),
                countdown(facts.due, now),
                ago(facts.last_run, now),
                status_text(row.status_at(now)),
                clean(row.reason_at(now), 400),
            )
        )
    widths = [min(WIDEST, max(map(width, column))) for column in zip(*lines, strict=True)]
    # The last column is not padded and not cut.
    return [
        "  ".join(
            (*(fit(text, cells) for text, cells in zip(line[:-1], widths, strict=False)), line[-1])
        ).rstrip()
        for line in lines
    ]


def description(row: Row, now: float, zone: tzinfo) -> list[str]:
    """Return the lines that describe one entry."""
    view, facts = row.view, row.facts
    lines = [clean(row.name, 10_000)]

    def line(label: str, text: str) -> None:
        lines.append(f"  {label:<12}{text}")

    line("status", status_text(row.status_at(now)))
    if reason := row.reason_at(now):
        line("", clean(reason))
    line("task", clean(view.task) or "-")
    line("schedule", clean(facts.schedule) or "-")
    if text := schedule_text(view.schedule):
        line("", clean(text))
    for warning in view.warnings:
        line("warning", clean(warning.text))
        if warning.edit:
            line("", f"to repair: redbeat-tui edit {clean(shlex.quote(row.name))} '{warning.edit}'")
    if view.pause is not None:
        when = f", {ago(view.pause.at.timestamp(), now)}" if view.pause.at else ""
        line("paused", f"by {clean(view.pause.by or 'somebody')}{when}")
        if view.pause.note:
            line("", clean(view.pause.note))
    if view.override:
        line("override", clean(json.dumps(dict(view.override), ensure_ascii=False, default=str)))
    for number, text in enumerate(policy_lines(row.record.policy, zone)):
        line("" if number else "policy", text)
    last = f"{timestamp(facts.last_run, zone)}  {ago(facts.last_run, now)}"
    line("last run", last if facts.last_run is not None else "never")
    line("runs", f"{facts.runs}")
    if counts := counts_text(view.counts):
        line("not run", counts)
    if (outcome := view.outcome) is not None:
        took = f" in {outcome.runtime:.2f} s" if outcome.runtime is not None else ""
        line("outcome", f"{clean(outcome_status(outcome))}{took}")
        if outcome.error:
            line("", clean(outcome.error))
    runs = next_runs(row.record, view, datetime.fromtimestamp(now, UTC))
    for index, run in enumerate(runs.times):
        until = countdown(run.timestamp(), now)
        line("next runs" if not index else "", f"{timestamp(run, zone)}  {until}")
    if not runs.complete:
        line("" if runs.times else "next runs", "… no more could be computed in time")
    elif not runs.times:
        because = no_run_because(view, now)
        line("next runs", f"none: {because}" if because else "none")
    elif average := pace(runs):
        line("", average)
    line("version", row.version)
    try:
        definition = json.dumps(json.loads(view.definition or ""), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        definition = view.definition or "none"
    lines.append("  definition")
    return lines + ["    " + text for text in clean_lines(definition)]


def entry_json(row: Row, now: float, *, full: bool = False) -> dict[str, Any]:
    """Return one entry as JSON data: times in UTC (ISO 8601), texts as Redis holds them.

    :param now: Unix seconds.
    :param full: with the policy, the counts, the next runs and the definition.
    """
    view, facts = row.view, row.facts
    entry: dict[str, Any] = {
        "name": row.name,
        "task": view.task,
        "status": row.status_at(now),
        "reason": row.reason_at(now),
        "enabled": view.enabled,
        "schedule": schedule_text(view.schedule),
        "schedule_in_words": facts.schedule,
        "next_run_at": _iso(view.next_run_at),
        "last_run_at": _iso(view.last_run_at),
        "total_run_count": view.total_run_count,
        "paused": None,
        "outcome": None,
        "error": view.error,
        "warnings": [
            {"text": warning.text, "proposal": warning.edit or None} for warning in view.warnings
        ],
        "version": row.version,
    }
    if view.pause is not None:
        pause = view.pause
        entry["paused"] = {"by": pause.by, "at": _iso(pause.at), "note": pause.note}
    if view.outcome is not None:
        outcome = view.outcome
        entry["outcome"] = {
            "status": outcome_status(outcome),
            "at": _iso(outcome.at),
            "runtime": outcome.runtime,
            "error": outcome.error,
            "worker": outcome.worker,
            "task_id": outcome.task_id,
        }
    if full:
        entry["override"] = view.override
        entry["policy"] = json_object(row.record.policy)
        entry["missed"] = view.counts.missed
        entry["skipped"] = view.counts.skipped
        runs = next_runs(row.record, view, datetime.fromtimestamp(now, UTC))
        entry["next_runs"] = [_iso(run) for run in runs.times]
        average = runs.average_gap
        entry["average_gap"] = None if average is None else average.total_seconds()
        try:
            entry["definition"] = json.loads(view.definition or "null")
        except (ValueError, RecursionError):
            entry["definition"] = view.definition
    return entry


def _iso(when: datetime | None) -> str | None:
    if when is None:
        return None
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
