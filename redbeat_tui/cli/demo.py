"""``redbeat-tui demo``: a server, a worker, a beat and the console, from one command."""

from __future__ import annotations

import os

import click

from redbeat_tui.config import switch

from .common import common, flags_of, sentences


def register(group: click.Group) -> None:
    """Add the command of this module."""
    group.add_command(demo)


@click.command("demo")
@common
@click.option("--headless", is_flag=True, help="Without a screen: print what happened.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=20.0,
    show_default=True,
    help="How long, when headless.",
)
@sentences
def demo(headless: bool, seconds: float) -> None:
    """Start a shop with a schedule of its own, and open the console on it.

    Everything that it starts ends with it. Of the common options it uses only --url (a server to
    use instead of an embedded one; not REDBEAT_REDIS_URL) and --read-only.
    """
    from redbeat_tui.demo import run

    flags = flags_of(click.get_current_context())
    read_only = switch(flags.read_only, os.environ, "REDBEAT_READ_ONLY")
    raise SystemExit(run(flags.url, headless=headless, seconds=seconds, read_only=read_only))
