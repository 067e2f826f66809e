"""The command line: the console, and its verbs for scripts.

Exit codes: 0 it is done; 1 it is not, and a sentence on standard error says why; 2 the command
line itself is wrong.
"""

from __future__ import annotations

import sys

import click

from .common import Refusal, common, sentences, the_options


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done; 1 not done, a sentence on standard error says why; 2 the command "
    "line is wrong. A name that begins with '-' goes behind '--'.",
)
@common
@click.version_option(package_name="redbeat-tui", prog_name="redbeat-tui")
@click.pass_context
def cli(context: click.Context) -> None:
    """The operator's console for a Celery beat schedule in Redis.

    Without a command it opens the console.
    """
    if context.invoked_subcommand is None:
        raise SystemExit(_open_console())


@sentences
def _open_console() -> int:
    options = the_options()
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refusal(
            "the console needs a terminal; in a script use its commands, for example "
            "`redbeat-tui list --json`"
        )
    from redbeat_tui.launch import run

    return run(options)


def main() -> None:
    """Run the command line."""
    from . import change, demo, policy, preview, show

    for module in (show, change, policy, demo, preview):
        module.register(cli)
    cli(prog_name="redbeat-tui")
