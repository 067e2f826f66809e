"""Opens the console on this terminal: checks the server first, and returns the exit code."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import click
from celery import Celery

from redbeat_core.operations import Operations, default_actor
from redbeat_core.storage.connection import ConnectionProblem
from redbeat_tui.text.sanitize import clean

from .app import ConsoleApp
from .config import Options, check_server, open_store, options_for
from .terminal import quiet_logging
from .threads import finish

#: Seconds that Redis gets to answer the first check; a slower server is awaited in the console.
FIRST_LOOK = 2.0
#: Seconds that running writes get when the operator leaves the console.
FINISH = 2.0
FAILED = 1


def run(
    options: Options,
    *,
    actor: str | None = None,
    trouble: Callable[[], list[str]] | None = None,
) -> int:
    """Open the console on this terminal and return the process's exit code.

    The console opens while the server cannot be reached, and waits for it. With options that can
    never work (a wrong password, a Cluster without a hash tag) it does not open: a sentence goes to
    standard error, and the exit code is 1.

    :param actor: the author of changes, as ``user@host``; None: the user of this process.
    :param trouble: as for :class:`~redbeat_tui.app.ConsoleApp`.
    """
    problem = _first_look(options)
    if problem is not None and problem.permanent:
        click.echo(f"redbeat-tui: {clean(str(problem))}", err=True)
        return FAILED
    try:
        store = open_store(options)
    except ConnectionProblem as exc:
        click.echo(f"redbeat-tui: {clean(str(exc))}", err=True)
        return FAILED
    operations = Operations(
        store,
        app=options.app,
        actor=actor or default_actor(),
        read_only=options.read_only,
    )
    app = ConsoleApp(options, store, operations, trouble=trouble)
    with quiet_logging():
        code = _run(app, mouse=options.mouse)
    finish(FINISH)
    if app.crash:
        click.echo(
            "redbeat-tui ended because of an error in itself; the schedule is as it was. "
            "Please report this:\n",
            err=True,
        )
        click.echo(app.crash, err=True)
        return FAILED
    return code


def run_console(
    url: str,
    *,
    key_prefix: str = "redbeat:",
    app: Celery | None = None,
    read_only: bool = False,
    actor: str | None = None,
    timezone: str | None = None,
    trouble: Callable[[], list[str]] | None = None,
) -> int:
    """Open the console on this terminal; returns the process's exit code.

    :param url: of the Redis that holds the schedule.
    :param app: gives crontabs their time zone; None: the leading beat does.
    :param actor: who writes, as ``user@host``.
    :param trouble: asked once a second; what it says is shown, each text once.
    :raises OptionError: a value that cannot be used.
    """
    options = options_for(
        app=app, url=url, key_prefix=key_prefix, timezone=timezone, read_only=read_only
    )
    return run(options, actor=actor, trouble=trouble)


def _run(app: ConsoleApp, *, mouse: bool) -> int:
    try:
        result = app.run(mouse=mouse)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    if result is not None:
        return result
    return app.return_code if app.return_code is not None else FAILED


def _first_look(options: Options) -> ConnectionProblem | None:
    problems: list[ConnectionProblem] = []

    def check() -> None:
        try:
            check_server(options)
        except ConnectionProblem as exc:
            problems.append(exc)

    thread = threading.Thread(target=check, name="redbeat-first-look", daemon=True)
    thread.start()
    thread.join(FIRST_LOOK)
    return problems[0] if problems else None
