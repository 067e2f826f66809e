"""Resolves the options of the console and of the command line.

Every option has the same precedence: the flag, then the environment variable, then the setting of
the Celery app given with ``-A``, then the default.

=================  ======================  ===========================  ========================
flag               environment             Celery app                   default
=================  ======================  ===========================  ========================
``--url``          ``REDBEAT_REDIS_URL``   ``redbeat_redis_url``, else  redis://localhost:6379/0
                                           ``broker_url``
``--app``, ``-A``  ``REDBEAT_APP``                                      none
``--key-prefix``   ``REDBEAT_KEY_PREFIX``  ``redbeat_key_prefix``       redbeat:
``--timezone``     ``REDBEAT_TIMEZONE``    ``timezone``                 the leading beat's, or
                                                                        UTC
``--read-only``    ``REDBEAT_READ_ONLY``                                off
``--no-mouse``     ``REDBEAT_NO_MOUSE``                                 off: the mouse is used
``--theme``        ``REDBEAT_THEME``                                    dark; light, or ansi for
                                                                        the terminal's colours
=================  ======================  ===========================  ========================

``NO_COLOR`` is honoured as well.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from celery import Celery
from celery.app.utils import find_app

from redbeat_core.settings.config import ConfigError, RedBeatConfig
from redbeat_core.storage.connection import (
    ConnectionProblem,
    check_cluster,
    check_version,
    explain,
    raw_client,
)
from redbeat_core.storage.schedule_store import ScheduleStore, store_for

DEFAULT_URL = "redis://localhost:6379/0"
#: The console's colour themes, the default first.
THEME_NAMES = ("dark", "light", "ansi")
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("", "0", "false", "no", "off")


class OptionError(ValueError):
    """An option has an invalid value; the message says which values are valid."""


@dataclass(frozen=True, slots=True)
class Flags:
    """The options of the command line; None for those that were not given."""

    url: str | None = None
    app: str | None = None
    key_prefix: str | None = None
    timezone: str | None = None
    read_only: bool | None = None
    no_mouse: bool | None = None
    theme: str | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """The options in force.

    :ivar app: the Celery app, the user's or one made for the connection; its settings hold
        the URL, the key prefix and the time zone.
    :ivar url: of the Redis that holds the schedule. It may contain a password: never show it.
    :ivar timezone: the IANA name from the options or the user's app; None: the leader's time
        zone applies.
    """

    app: Celery
    url: str
    key_prefix: str
    timezone: str | None
    read_only: bool
    mouse: bool
    theme: str


def resolve(flags: Flags, env: Mapping[str, str] | None = None) -> Options:
    """Return the options in force, by the precedence above.

    :param env: the environment variables; None for those of the process.
    :raises OptionError: an option has an invalid value.
    """
    env = os.environ if env is None else env
    app_name = flags.app or env.get("REDBEAT_APP")
    return options_for(
        app=load_app(app_name) if app_name else None,
        url=flags.url or env.get("REDBEAT_REDIS_URL"),
        key_prefix=flags.key_prefix or env.get("REDBEAT_KEY_PREFIX"),
        timezone=flags.timezone or env.get("REDBEAT_TIMEZONE"),
        read_only=switch(flags.read_only, env, "REDBEAT_READ_ONLY"),
        mouse=not switch(flags.no_mouse, env, "REDBEAT_NO_MOUSE"),
        theme=flags.theme or env.get("REDBEAT_THEME") or THEME_NAMES[0],
    )


def options_for(
    *,
    app: Celery | None = None,
    url: str | None = None,
    key_prefix: str | None = None,
    timezone: str | None = None,
    read_only: bool = False,
    mouse: bool = True,
    theme: str = "dark",
) -> Options:
    """Return the options for these values; None stands for the app's setting, or the default.

    :raises OptionError: an option has an invalid value.
    """
    if theme not in THEME_NAMES:
        raise OptionError(f"the theme {theme!r} is unknown; there are {', '.join(THEME_NAMES)}")
    if timezone is not None:
        _check_timezone(timezone)
    elif app is not None and app.conf.timezone:
        timezone = str(app.conf.timezone)
    if app is None:
        app = Celery("redbeat-tui", set_as_current=False, broker=url or DEFAULT_URL)
        url = url or DEFAULT_URL
    settings = {
        "redbeat_redis_url": url,
        "redbeat_key_prefix": key_prefix,
        "timezone": timezone,
    }
    app.conf.update({name: value for name, value in settings.items() if value is not None})
    try:
        config = RedBeatConfig(app)
    except ConfigError as exc:
        raise OptionError(str(exc)) from exc
    # Importing the app may have made a client for the app's own settings.
    app.redbeat_conf = config
    for attribute in ("redbeat_redis", "redbeat_store"):
        app.__dict__.pop(attribute, None)
    return Options(
        app=app,
        url=config.redis_url,
        key_prefix=config.key_prefix,
        timezone=timezone,
        read_only=read_only,
        mouse=mouse,
        theme=theme,
    )


def use_timezone(options: Options, name: str) -> tzinfo | None:
    """Let the app of *options* read crontabs in the zone *name*; returns the zone.

    None, and nothing is changed, where this machine knows no such zone.
    """
    try:
        zone = ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None
    options.app.conf.timezone = name
    options.app.__dict__.pop("timezone", None)
    return zone


def open_store(options: Options) -> ScheduleStore:
    """Return the store for *options*, without connecting.

    :raises ConnectionProblem: the client does not accept the URL.
    """
    try:
        return store_for(options.app)
    except ConnectionProblem:
        raise
    except Exception as exc:
        raise explain(exc, options.url) from exc


def check_server(options: Options) -> None:
    """Check once that the server answers and can hold the schedule.

    :raises ConnectionProblem: the server does not answer, or cannot be used with these options.
    """
    try:
        client = raw_client(open_store(options).client)
        client.ping()
        check_version(client, options.url)
        check_cluster(client, options.key_prefix, options.url)
    except ConnectionProblem:
        raise
    except Exception as exc:
        raise explain(exc, options.url) from exc


def load_app(name: str) -> Celery:
    """Import a Celery app as ``celery -A`` does, also from the current directory.

    :raises OptionError: no app has that name, or importing it failed.
    """
    cwd = str(Path.cwd())
    if cwd not in sys.path:
        sys.path.insert(0, cwd)
    try:
        app = find_app(name)
    except (Exception, SystemExit) as exc:
        reason = str(exc) or type(exc).__name__
        raise OptionError(
            f"the Celery app {name!r} cannot be loaded ({type(exc).__name__}: {reason}); "
            "give the module as to `celery -A`, and run this where that works"
        ) from exc
    if not isinstance(app, Celery):
        raise OptionError(f"{name!r} is no Celery app but a {type(app).__name__}")
    return app


def _check_timezone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as exc:
        raise OptionError(
            f"the time zone {name!r} is unknown; use a name as Europe/Paris or UTC"
        ) from exc


def switch(flag: bool | None, env: Mapping[str, str], name: str) -> bool:
    """Return an option that is on or off: the flag, else the environment variable *name*.

    :raises OptionError: the variable is neither on nor off.
    """
    if flag is not None:
        return flag
    value = env.get(name, "").strip().lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise OptionError(f"{name} is {env[name]!r}: it must be 1 or 0")


__all__ = [
    "DEFAULT_URL",
    "THEME_NAMES",
    "Flags",
    "OptionError",
    "Options",
    "check_server",
    "load_app",
    "open_store",
    "options_for",
    "resolve",
    "switch",
    "use_timezone",
]
