"""Options, errors and the time zone in force, for all commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, tzinfo
from functools import wraps
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click

from redbeat_core.entries.names import InvalidNameError
from redbeat_core.leadership.health import read_health
from redbeat_core.operations import OperationError, Operations, default_actor
from redbeat_core.schedules import ScheduleError
from redbeat_core.settings.config import ConfigError
from redbeat_core.storage.connection import ConnectionProblem, explain
from redbeat_core.storage.schedule_store import ScheduleStore
from redbeat_tui.config import (
    THEME_NAMES,
    Flags,
    OptionError,
    Options,
    check_server,
    open_store,
    resolve,
    use_timezone,
)
from redbeat_tui.text.sanitize import clean

F = TypeVar("F", bound=Callable[..., Any])


class Refusal(click.ClickException):
    """A command is not done; the message is for the operator. Exit code 1."""

    exit_code = 1

    def show(self, file: Any = None) -> None:
        """Write the sanitized message to standard error."""
        click.echo(f"redbeat-tui: {clean(self.message)}", file=file, err=file is None)


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Store an option for the command, whether it stands before or behind the command's name; the
    last one on the line wins."""
    if value is not None and parameter.name is not None:
        flags = flags_of(context)
        context.find_root().meta[_FLAGS] = replace(flags, **{parameter.name: value})


_FLAGS = "redbeat_tui.flags"


def flags_of(context: click.Context) -> Flags:
    """Return the options of the command line that click has parsed so far."""
    flags = context.find_root().meta.get(_FLAGS)
    return flags if isinstance(flags, Flags) else Flags()


_COMMON = (
    click.option(
        "--url",
        metavar="URL",
        help="The Redis that holds the schedule. [env: REDBEAT_REDIS_URL; else the app's "
        "setting, else redis://localhost:6379/0]",
    ),
    click.option(
        "-A",
        "--app",
        metavar="APP",
        help="The Celery app, as for `celery -A`: its settings are used. [env: REDBEAT_APP]",
    ),
    click.option(
        "--key-prefix",
        metavar="PREFIX",
        help="The prefix of every key. [env: REDBEAT_KEY_PREFIX; else the app's setting, "
        "else redbeat:]",
    ),
    click.option(
        "--timezone",
        metavar="ZONE",
        help="Times are shown, and crontabs read, in this zone. [env: REDBEAT_TIMEZONE; else "
        "the app's, else the leading beat's, else UTC]",
    ),
    click.option(
        "--read-only/--no-read-only",
        default=None,
        help="Refuse every change. [env: REDBEAT_READ_ONLY]",
    ),
    click.option(
        "--no-mouse/--mouse",
        default=None,
        help="Leave the mouse to the terminal. [env: REDBEAT_NO_MOUSE]",
    ),
    click.option(
        "--theme",
        type=click.Choice(THEME_NAMES),
        help="The console's colours; ansi: the terminal's own. [env: REDBEAT_THEME]",
    ),
)


def common(command: F) -> F:
    """Add the options that every command takes, before or behind its name."""
    for option in reversed(_COMMON):
        # click needs a parameter of its own for each command.
        command = option(command)
    for parameter in getattr(command, "__click_params__", []):
        if parameter.name in Flags.__dataclass_fields__:
            parameter.callback = _remember
            parameter.expose_value = False
    return command


def sentences(function: F) -> F:
    """Turn the errors of a command into a :class:`Refusal`, so that it never shows a traceback."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (
            OperationError,
            OptionError,
            ConnectionProblem,
            ConfigError,
            InvalidNameError,
            ScheduleError,
        ) as exc:
            raise Refusal(str(exc)) from exc
        except click.exceptions.ClickException:
            raise
        except BrokenPipeError:
            raise  # the reader of the output has closed the pipe
        except (ConnectionError, TimeoutError, _redis_error()) as exc:
            options = click.get_current_context().find_root().meta.get(_OPTIONS)
            raise Refusal(str(explain(exc, options.url if options else ""))) from exc
        except OSError as exc:
            # Not an error of Redis, but of a file: for example a full disk behind `>`.
            raise Refusal(f"this cannot be read or written: {exc.strerror or exc}") from exc

    return call  # type: ignore[return-value]


_OPTIONS = "redbeat_tui.options"


def _redis_error() -> type[Exception]:
    from redis.exceptions import RedisError

    return RedisError


def options_in_force() -> Options:
    """Return the options of the running command, after one check of the server.

    :raises OptionError: an option has an invalid value.
    :raises ConnectionProblem: the server cannot be used.
    """
    options = the_options()
    check_server(options)
    return options


def the_options() -> Options:
    """Return the options of the running command, without a check of the server.

    :raises OptionError: an option has an invalid value.
    """
    context = click.get_current_context()
    options = resolve(flags_of(context))
    context.find_root().meta[_OPTIONS] = options
    return options


def operations_of(options: Options) -> Operations:
    """Return the operations, with the user who runs the command as the author."""
    return Operations(
        open_store(options),
        app=options.app,
        actor=default_actor(),
        read_only=options.read_only,
    )


def zone_of(options: Options, store: ScheduleStore) -> tzinfo:
    """The time zone in force: asked for, or the app's, or the leading beat's, else UTC."""
    name = options.timezone
    if name is None:
        leader = read_health(store).leader
        name = leader.timezone if leader is not None else ""
        return (use_timezone(options, name) if name else None) or UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return UTC


def change_options(command: F) -> F:
    """The options of every command that changes something."""
    command = click.option(
        "--if-version",
        metavar="VERSION",
        help="Only when the entry still has this version (`show --json` tells it).",
    )(command)
    return click.option("--note", default="", metavar="TEXT", help="Why; everybody sees it.")(
        command
    )
