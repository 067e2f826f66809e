"""``redbeat-tui policy``: shows or changes the policy of an entry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Any

import click

from redbeat_core.entries.policy import ALLOWED, AMBIGUOUS, CATCHUP, NONEXISTENT
from redbeat_core.schedules.text.datetimes import parse_moment
from redbeat_core.schedules.text.tokens import ScheduleError, Word
from redbeat_tui.text.durations import seconds_of
from redbeat_tui.text.policy_text import policy_lines
from redbeat_tui.text.sanitize import clean

from .change import next_run
from .common import (
    Refusal,
    change_options,
    common,
    operations_of,
    options_in_force,
    sentences,
    zone_of,
)

#: The value that removes a member from an entry's policy, so that the settings apply.
DEFAULT = "default"
#: The value for no limit.
NONE = "none"
_LENGTHS = ("grace", "jitter", "keep_finished")
_MOMENTS = ("start", "end")
_LIMITS = ("grace", "start", "end", "max_runs", "keep_finished")


def register(group: click.Group) -> None:
    """Add the commands of this module."""
    group.add_command(policy)


def _choice(*choices: str) -> click.Choice[str]:
    return click.Choice([*choices, DEFAULT])


@click.command("policy")
@common
@click.argument("name")
@click.option("--catchup", type=_choice(*CATCHUP), help="What to do about missed runs.")
@click.option("--catchup-limit", metavar="N", help="How many runs `all` makes up for at most.")
@click.option("--grace", metavar="LENGTH", help="Later than this is missed: 5m, 1h30m, none.")
@click.option("--jitter", metavar="LENGTH", help="Put runs off by up to this: 30s.")
@click.option("--start", metavar="TIME", help="No run before this: '2026-12-24 18:00', none.")
@click.option("--end", metavar="TIME", help="No run after this; none: no end.")
@click.option("--max-runs", metavar="N", help="Finished after so many runs; none: never.")
@click.option(
    "--nonexistent", type=_choice(*NONEXISTENT), help="A local time that a clock change leaves out."
)
@click.option("--ambiguous", type=_choice(*AMBIGUOUS), help="A local time that comes twice.")
@click.option("--keep-finished", metavar="LENGTH", help="Delete it so long after its end; none.")
@click.option("--reset", is_flag=True, help="Forget what was set before.")
@change_options
@sentences
def policy(name: str, reset: bool, note: str, if_version: str | None, **given: str | None) -> None:
    """Show or change the policy of an entry: missed runs, limits, clock changes.

    For each option `default` leaves it to the scheduler's settings (redbeat_catchup, ...).

    \b
    redbeat-tui policy "send report"
    redbeat-tui policy "send report" --catchup all --grace 2h
    redbeat-tui policy "send report" --end "2026-12-24 18:00 Europe/Berlin" --max-runs 100
    redbeat-tui policy "send report" --reset
    """
    options = options_in_force()
    operations = operations_of(options)
    zone = zone_of(options, operations.store)
    changes = {key: read(key, text, zone) for key, text in given.items() if text is not None}
    if not changes and not reset:
        record = operations.store.get(name)
        if record is None:
            raise Refusal(f"there is no entry {name!r}; `redbeat-tui list` shows what there is")
        lines = policy_lines(record.policy, zone)
    else:
        removed = [key for key, value in changes.items() if value is DEFAULT]
        record = operations.edit_policy(
            name,
            {key: value for key, value in changes.items() if value is not DEFAULT},
            reset=None if reset else removed,
            version=if_version,
            note=note,
        )
        lines = policy_lines(record.policy, zone)
        click.echo(f"{clean(name)} is saved; {next_run(record, operations.store, options)}")
    for line in lines or ["as the scheduler's settings say"]:
        click.echo(f"  {line}")


def read(key: str, text: str, zone: tzinfo) -> Any:
    """Parse *text* as the value of the member *key* of a policy; :data:`DEFAULT` removes it.

    :param zone: the time zone of times without one.
    :raises Refusal: *text* is not a valid value.
    """
    if text == DEFAULT:
        return DEFAULT
    if text == NONE and key in _LIMITS:
        return None
    readers: list[tuple[tuple[str, ...], Callable[[str], Any]]] = [
        (_LENGTHS, seconds_of),
        (_MOMENTS, lambda typed: parse_moment(Word(typed, 0), zone).timestamp()),
        (("max_runs", "catchup_limit"), int),
    ]
    for keys, reader in readers:
        if key in keys:
            try:
                return reader(text)
            except (ValueError, OverflowError) as exc:
                reason = (
                    str(exc)
                    if isinstance(exc, ScheduleError)
                    else ALLOWED[key][1].replace("null", NONE)
                )
                option = key.replace("_", "-")
                raise Refusal(f"--{option} {clean(text, 60)!r} is refused: {reason}") from None
    return text
