"""Defines every setting: its name, default, allowed values and description.

The scheduler refuses a wrong value at its start, with an error that names the setting, the value
and the allowed values. Settings are read from the Celery app, under their lower-case names (or in
the old upper case, or under a ``namespace``, wherever Celery itself finds them).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery
from celery.app import app_or_default
from celery.utils.log import get_logger

from redbeat_core.entries.policy import ALLOWED, PLAIN, Policy

from .keys import DEFAULT_PREFIX, Keys
from .redis_urls import SEVERAL, safe_url

logger = get_logger("celery.beat")

#: The scheme of every URL that names a Redis server.
SCHEMES = (
    "redis",
    "rediss",
    "redis+socket",
    "unix",
    "valkey",
    "valkeys",
    "redis-sentinel",
    "sentinel",
    "redis-cluster",
    "rediss-cluster",
)
SECRET = "***"
_SECRET_WORDS = ("password", "passwd", "secret", "token", "credential")


class ConfigError(ValueError):
    """A setting has a value that is not allowed."""


def redact(name: str, value: object) -> str:
    """Return *value* as text for a message, with possible secrets masked."""
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key!r}: {redact(str(key), item)}" for key, item in value.items())
        return "{" + inner + "}"
    if not isinstance(value, str):
        return f"of type {type(value).__name__}"
    if any(word in name.lower() for word in _SECRET_WORDS):
        return SECRET
    if "://" in value:
        return repr(safe_url(value))
    return repr(f"{SECRET}@{value.rpartition('@')[2]}" if "@" in value else value)


def _fail(name: str, value: object, allowed: str) -> ConfigError:
    return ConfigError(f"{name} is {redact(name, value)}: {allowed}")


def _number(low: float, high: float, *, whole: bool = False) -> Callable[[str, Any], Any]:
    kind = "a whole number" if whole else "a number"

    def check(name: str, value: Any) -> Any:
        fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not fits or not low <= value <= high:
            raise _fail(name, value, f"it must be {kind} from {low:g} to {high:g}")
        return value

    return check


def _one_of(*choices: str) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        if value not in choices:
            listed = ", ".join(map(repr, choices[:-1]))
            raise _fail(name, value, f"it must be {listed} or {choices[-1]!r}")
        return value

    return check


def _options(name: str, value: Any) -> Any:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _fail(name, value, "it must be a dict of options for the Redis client")
    period = value.get("retry_period")
    if period is not None and (isinstance(period, bool) or not isinstance(period, int | float)):
        raise _fail(
            f"{name}['retry_period']", period, "it must be a number of seconds, or -1 for no end"
        )
    return dict(value)


def _ssl(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if not isinstance(value, Mapping):
        raise _fail(name, value, "it must be a dict of TLS options (ssl_ca_certs, ...), or a bool")
    return dict(value)


def _member_of_policy(name: str, value: Any) -> Any:
    fits, allowed = ALLOWED[name.removeprefix("redbeat_")]
    if not fits(value):
        raise _fail(name, value, f"it must be {allowed.replace('null', 'None')}")
    return value


def _prefix(name: str, value: Any) -> Any:
    if not isinstance(value, str) or not value:
        raise _fail(name, value, "it must be a text that is not empty, for example 'redbeat:'")
    return value


def _lock_key(name: str, value: Any) -> Any:
    if value is not None and not isinstance(value, str):
        raise _fail(name, value, "it must be a text, or None to run without a lock")
    return value or None


def _timeout(name: str, value: Any) -> Any:
    return value if value is None else _number(1, 86400)(name, value)


def _url(name: str, value: Any) -> Any:
    if not isinstance(value, str) or value.partition("://")[0] not in SCHEMES:
        raise _fail(name, value, "it must be a Redis URL, for example 'redis://localhost:6379/0'")
    return value


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    :ivar name: its lower-case name.
    :ivar default: its default; None often means 'derived from other settings'.
    :ivar check: returns the validated value or raises :class:`ConfigError`.
    :ivar doc: a description in one or two sentences.
    """

    name: str
    default: Any
    check: Callable[[str, Any], Any]
    doc: str


#: The members of a policy whose default is a setting, with its description.
POLICY_DEFAULTS: Mapping[str, str] = {
    "catchup": "Runs that became due while no scheduler ran: make `one` run for all of them, make "
    "`all` of them, or `skip` them, except the newest within the grace.",
    "catchup_limit": "Most runs of an entry that `all` makes: the newest.",
    "grace": "Seconds by which a run may be late; a later run is missed. None: no limit.",
    "jitter": "Most seconds by which runs are delayed; the delay of one run is always the same.",
    "nonexistent": "A local time that a clock change skips: `shift` it, or `skip` it.",
    "ambiguous": "A local time that occurs twice: run at the `first`, the `last`, or `both`.",
    "keep_finished": "Seconds after which a finished entry is deleted. None: it is kept.",
}

SETTINGS = (
    Setting("redbeat_redis_url", None, _url, "The Redis of the schedule; default: broker_url."),
    Setting(
        "redbeat_redis_options",
        None,
        _options,
        "Options for the Redis client; `retry_period`, `cluster`, `sentinels`, `service_name`, "
        "`sentinel_kwargs` and `startup_nodes` mean what they mean to celery-redbeat.",
    ),
    Setting("redbeat_redis_use_ssl", None, _ssl, "TLS options; default: broker_use_ssl."),
    Setting("redbeat_key_prefix", DEFAULT_PREFIX, _prefix, "The prefix of every key."),
    Setting(
        "redbeat_lock_key",
        None,
        _lock_key,
        "The key of the lease, default `<prefix>:lock`; None set explicitly: no lease, every beat "
        "dispatches (each nominal time still once).",
    ),
    Setting("redbeat_lock_timeout", None, _timeout, "Length of the lease in seconds; default 10."),
    Setting(
        "redbeat_key_expiry_check",
        "error",
        _one_of("ignore", "warn", "error", "raise"),
        "What to do at start when the server's maxmemory-policy may evict keys: nothing, log a "
        "warning, log an error, or log it and refuse to start.",
    ),
    Setting(
        "redbeat_delivery",
        "auto",
        _one_of("auto", "at-least-once", "at-most-once"),
        "How messages reach the broker; `auto` is exactly-once where the broker is the same Redis "
        "server, else at-least-once.",
    ),
    Setting(
        "redbeat_batch_size",
        500,
        _number(1, 10000, whole=True),
        "Most due entries of one claim.",
    ),
    Setting(
        "redbeat_log_length",
        10000,
        _number(100, 10_000_000, whole=True),
        "Number of events that the log stream keeps (about).",
    ),
    Setting(
        "redbeat_trigger_expires",
        3600,
        _number(1, 31 * 86400),
        "Seconds after which a run-now request that no scheduler claimed is reported as missed.",
    ),
    *(
        Setting(f"redbeat_{name}", getattr(PLAIN, name), _member_of_policy, doc)
        for name, doc in POLICY_DEFAULTS.items()
    ),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}
DEFAULT_LOCK_TIMEOUT = 10.0
#: The attribute that holds our configuration where celery-redbeat's has ``redbeat_conf``.
_OWN_CONF = "redbeat_core_conf"


class RedBeatConfig:
    """The validated settings of one app.

    The attributes of celery-redbeat's class of the same name have the same names here:
    ``key_prefix, schedule_key, statics_key, redis_url, redis_use_ssl,
    redbeat_redis_options, lock_key, lock_timeout, schedule``.

    :raises ConfigError: a value is not allowed.
    """

    def __init__(self, app: Celery | None = None) -> None:
        self.app = app_or_default(app)
        self._warn_of_unknown_names()
        self.key_prefix: str = self._get("redbeat_key_prefix")
        self.keys = Keys(self.key_prefix)
        self.schedule_key = self.keys.schedule
        self.statics_key = self.keys.statics
        self.redis_url: str = self._redis_url()
        self.redis_use_ssl: Any = self._get("redbeat_redis_use_ssl", "broker_use_ssl")
        self.redbeat_redis_options: dict[str, Any] = self._get(
            "redbeat_redis_options", "broker_transport_options"
        )
        self.lock_key: str | None = self._lock_key()
        self.lock_timeout: float | None = self._get("redbeat_lock_timeout")
        self.key_expiry_check: str = self._get("redbeat_key_expiry_check")
        self.delivery: str = self._get("redbeat_delivery")
        self.batch_size: int = self._get("redbeat_batch_size")
        self.log_length: int = self._get("redbeat_log_length")
        self.trigger_expires: float = self._get("redbeat_trigger_expires")
        #: The policy of an entry without its own policy.
        self.policy = Policy(**{name: self._get(f"redbeat_{name}") for name in POLICY_DEFAULTS})
        if self.policy == PLAIN:
            # Other code compares with PLAIN by identity, which is faster.
            self.policy = PLAIN

    @property
    def schedule(self) -> dict[str, Any]:
        """``beat_schedule``: the entries that come from the code."""
        schedule: dict[str, Any] = self.app.conf.beat_schedule
        return schedule

    @schedule.setter
    def schedule(self, value: dict[str, Any]) -> None:
        self.app.conf.beat_schedule = value

    def is_key_in_conf(self, name: str) -> bool:
        """Whether the app sets *name* itself."""
        return self._find(name) is not None

    def either_or(self, name: str, default: Any = None) -> Any:
        """Return the app's value of *name*, or *default*."""
        setting = self._find(name)
        return default if setting is None else setting[0]

    def _find(self, name: str) -> tuple[Any] | None:
        """Return the app's value of *name* in a tuple, since it may be None; None: not set."""
        for key in (name, name.upper()):
            try:
                return (self.app.conf[key],)
            except KeyError:
                continue
        return None

    def _get(self, name: str, fallback: str | None = None) -> Any:
        setting = _BY_NAME[name]
        own = self._find(name)
        if own is None and fallback is not None:
            return setting.check(fallback, self.app.conf[fallback])
        return setting.check(name, setting.default if own is None else own[0])

    def _redis_url(self) -> str:
        own = self._find("redbeat_redis_url")
        if own is not None and own[0] is not None:
            return str(_url("redbeat_redis_url", own[0]))
        broker = self.app.conf.broker_url or self.app.connection_for_write().as_uri()
        first: Any = broker
        if isinstance(broker, str) and not broker.startswith(SEVERAL):
            # If Celery fails over between several brokers, the schedule is on the first. Several
            # Sentinels of one server are all kept.
            first = broker.split(";")[0]
        try:
            return str(_url("broker_url", first))
        except ConfigError as exc:
            raise ConfigError(
                f"redbeat_redis_url is not set, and {exc}. Set redbeat_redis_url to the Redis "
                "that holds the schedule"
            ) from None

    def _lock_key(self) -> str | None:
        own = self._find("redbeat_lock_key")
        if own is None:
            return self.keys.lock
        key: str | None = _lock_key("redbeat_lock_key", own[0])
        if key and not key.startswith(self.key_prefix):
            key = self.key_prefix + key
        return key

    def _warn_of_unknown_names(self) -> None:
        for key in self.app.conf:
            name = str(key).lower()
            if name.startswith("redbeat_") and name not in _BY_NAME:
                near = difflib.get_close_matches(name, _BY_NAME, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                logger.warning("beat: the setting %s is unknown and has no effect%s", name, hint)


def ensure_conf(app: Celery | None) -> RedBeatConfig:
    """Return the configuration of *app*, created once and stored as ``app.redbeat_conf``.

    If celery-redbeat stored its configuration there before, that one stays, and ours is stored
    under another name.
    """
    app = app_or_default(app)
    for name in ("redbeat_conf", _OWN_CONF):
        config = getattr(app, name, None)
        if isinstance(config, RedBeatConfig):
            return config
    config = RedBeatConfig(app)
    setattr(app, _OWN_CONF if hasattr(app, "redbeat_conf") else "redbeat_conf", config)
    return config
