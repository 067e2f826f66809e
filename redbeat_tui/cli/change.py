"""``redbeat-tui pause|resume|trigger|edit|delete``: the console's actions, for scripts."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from redbeat_core.entries.record import EntryRecord
from redbeat_core.entries.view import decode_record
from redbeat_core.events import Changes, Link
from redbeat_core.schedules import ScheduleError, describe, parse_schedule
from redbeat_core.storage.event_stream import EventStream
from redbeat_core.storage.schedule_store import ScheduleStore
from redbeat_tui.config import Options
from redbeat_tui.live.requested_runs import FAILED, REQUESTED, Run, TriggerFollower
from redbeat_tui.screens.run_activity import WAITS
from redbeat_tui.text.durations import seconds_of
from redbeat_tui.text.format import countdown, timestamp
from redbeat_tui.text.policy_text import no_run_because
from redbeat_tui.text.sanitize import clean
from redbeat_tui.text.trigger_form import TypedWrongError, read_json

from .common import (
    Refusal,
    change_options,
    common,
    operations_of,
    options_in_force,
    sentences,
    zone_of,
)

F = TypeVar("F", bound=Callable[..., Any])


def register(group: click.Group) -> None:
    """Add the commands of this module."""
    for command in (pause, resume, trigger, edit, delete):
        group.add_command(command)


def _json(_ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    """Parse a list or an object that was typed as JSON."""
    try:
        return None if value is None else read_json(param.name or "", value)
    except TypedWrongError as exc:
        raise click.BadParameter(str(exc)) from None


def _length(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """Return the seconds of a length of time."""
    if value is None:
        return None
    try:
        return seconds_of(value)
    except ScheduleError as exc:
        raise click.BadParameter(f"{clean(value, 60)!r}: {exc}") from None


@click.command("pause")
@common
@click.argument("name")
@change_options
@sentences
def pause(name: str, note: str, if_version: str | None) -> None:
    """Pause an entry: it does not run by its schedule."""
    options = options_in_force()
    operations_of(options).pause(name, version=if_version, note=note)
    click.echo(f"{clean(name)} is paused")


@click.command("resume")
@common
@click.argument("name")
@change_options
@sentences
def resume(name: str, note: str, if_version: str | None) -> None:
    """Resume a paused entry."""
    options = options_in_force()
    operations = operations_of(options)
    record = operations.resume(name, version=if_version, note=note)
    click.echo(f"{clean(name)} is resumed; {next_run(record, operations.store, options)}")


@click.command("trigger")
@common
@click.argument("name")
@change_options
@click.option(
    "--wait", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait until it is dispatched."
)
@click.option(
    "--args", callback=_json, metavar="JSON", help="For this run, in place of the entry's: a list."
)
@click.option("--kwargs", callback=_json, metavar="JSON", help="The same: an object.")
@click.option("--queue", metavar="NAME", help="Where the message of this run goes.")
@click.option(
    "--expires",
    callback=_length,
    metavar="LENGTH",
    help="Report it as missed if no beat took it within this: 90, 5m, 2h.",
)
@click.option("--count-run", is_flag=True, help="Let it count as the entry's last run.")
@sentences
def trigger(
    name: str, note: str, if_version: str | None, wait: float | None, **values: Any
) -> None:
    """Run an entry once now, beside its schedule, which stays as it is.

    \b
    redbeat-tui trigger "send report" --wait 10
    redbeat-tui trigger "send report" --args '["march"]' --kwargs '{"dry": true}' --queue slow
    redbeat-tui trigger "send report" --expires 2h
    """
    options = options_in_force()
    operations = operations_of(options)
    stop = threading.Event()
    requested: list[str] = []

    def request() -> str:
        requested.append(operations.trigger(name, version=if_version, note=note, **values))
        return requested[0]

    if wait is None:
        click.echo(f"{clean(name)} is requested to run now, trigger {request()}")
        return
    try:
        run = _follow(operations.store, options.url, request, wait, stop)
    finally:
        stop.set()
    if run is None or run.stage == REQUESTED:
        raise Refusal(
            f"no beat took the run of {name!r} within {wait:g} s: does one lead? "
            + WAITS.rstrip(".")
        )
    if run.unsuccessful:
        stage = run.stage if run.stage == FAILED else f"was {run.stage}"
        raise Refusal(f"the run of {name!r} {stage}: {run.detail}")
    click.echo(f"{clean(name)} is dispatched, task {clean(run.task_id)}")


def _follow(
    store: ScheduleStore, url: str, request: Callable[[], str], wait: float, stop: threading.Event
) -> Run | None:
    """Subscribe, make the request, and follow its run until it is dispatched or has ended.

    :param wait: seconds.
    :returns: the run; None when no event named it.
    """
    follower = TriggerFollower()
    trigger_id = ""
    timer = threading.Timer(wait, stop.set)
    timer.daemon = True
    for item in EventStream(store, url=url).follow(stop):
        if isinstance(item, Link) and item.state == "live" and not trigger_id:
            trigger_id = request()
            timer.start()
        if isinstance(item, Link) and item.state == "disconnected" and not trigger_id:
            raise Refusal(item.reason)
        if isinstance(item, Changes):
            follower.offer(item.events)
        run = follower.run(trigger_id)
        if run is not None and run.stage != REQUESTED:
            break
    timer.cancel()
    return follower.run(trigger_id)


@click.command("edit")
@common
@click.argument("name")
@click.argument("schedule")
@change_options
@sentences
def edit(name: str, schedule: str, note: str, if_version: str | None) -> None:
    """Give an entry another SCHEDULE, typed as text.

    \b
    redbeat-tui edit "send report" "every 30s"
    redbeat-tui edit "send report" "0 9 * * mon-fri"
    redbeat-tui edit "send report" "FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9;BYMINUTE=0"
    """
    options = options_in_force()
    operations = operations_of(options)
    zone_of(options, operations.store)
    try:
        parsed = parse_schedule(schedule, options.app.timezone)
    except ScheduleError as exc:
        where = f" (at column {exc.column + 1})" if exc.column is not None else ""
        raise Refusal(f"{exc}{where}") from exc
    record = operations.edit_schedule(name, parsed, version=if_version, note=note)
    description = clean(describe(parsed))
    following = next_run(record, operations.store, options)
    click.echo(f"{clean(name)} is saved: {description}; {following}")


@click.command("delete")
@common
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@change_options
@sentences
def delete(name: str, yes: bool, note: str, if_version: str | None) -> None:
    """Delete an entry."""
    options = options_in_force()
    operations = operations_of(options)
    if not yes and not options.read_only:
        if not sys.stdin.isatty():
            raise Refusal("nothing is deleted without --yes when there is no terminal to ask on")
        if not click.confirm(f"Delete {clean(name)} from the schedule?", err=True):
            raise Refusal("nothing is deleted")
    operations.delete(name, version=if_version, note=note)
    click.echo(f"{clean(name)} is deleted")


def next_run(record: EntryRecord, store: ScheduleStore, options: Options) -> str:
    """Return a clause that says when the entry runs next, or why it does not."""
    if record.score is None or record.score < 0:
        view = decode_record(record)
        return no_run_because(view, time.time()) or "no run is scheduled"
    zone = zone_of(options, store)
    until = countdown(record.score, time.time())
    return f"it runs at {timestamp(record.score, zone)}, {until}"
