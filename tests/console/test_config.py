"""Options: all have the same precedence, and an invalid value gives a sentence."""

from __future__ import annotations

import pytest
from celery import Celery

from redbeat_tui.config import DEFAULT_URL, Flags, OptionError, options_for, resolve

ENV = {
    "REDBEAT_REDIS_URL": "redis://env:1/1",
    "REDBEAT_KEY_PREFIX": "env:",
    "REDBEAT_TIMEZONE": "Asia/Tokyo",
    "REDBEAT_READ_ONLY": "1",
    "REDBEAT_NO_MOUSE": "yes",
}
FLAGS = Flags(
    url="redis://flag:2/2",
    key_prefix="flag:",
    timezone="Europe/Paris",
    read_only=False,
    no_mouse=False,
)


def project(**conf: object) -> Celery:
    app = Celery("project", set_as_current=False, broker="redis://broker:3/3")
    app.conf.update(conf)
    return app


def test_without_options_the_defaults_apply() -> None:
    options = resolve(Flags(), {})
    assert options.url == DEFAULT_URL
    assert options.key_prefix == "redbeat:"
    assert options.timezone is None
    assert not options.read_only
    assert options.mouse


def test_a_flag_comes_before_the_environment() -> None:
    options = resolve(FLAGS, ENV)
    assert options.url == "redis://flag:2/2"
    assert options.key_prefix == "flag:"
    assert options.timezone == "Europe/Paris"
    assert not options.read_only
    assert options.mouse


def test_the_environment_comes_before_the_default() -> None:
    options = resolve(Flags(), ENV)
    assert options.url == "redis://env:1/1"
    assert options.key_prefix == "env:"
    assert options.timezone == "Asia/Tokyo"
    assert options.read_only
    assert not options.mouse


def test_the_app_comes_before_the_default() -> None:
    app = project(
        redbeat_redis_url="redis://app:4/4", redbeat_key_prefix="app:", timezone="Asia/Tokyo"
    )
    options = options_for(app=app)
    assert options.url == "redis://app:4/4"
    assert options.key_prefix == "app:"
    assert options.timezone == "Asia/Tokyo"


def test_without_a_redis_of_its_own_the_apps_broker_is_used() -> None:
    assert options_for(app=project()).url == "redis://broker:3/3"


def test_options_come_before_the_app_also_when_the_app_has_a_client_already() -> None:
    app = project(redbeat_redis_url="redis://app:4/4")
    app.redbeat_redis = object()
    options = options_for(app=app, url="redis://given:5/5", key_prefix="given:")
    assert options.url == "redis://given:5/5"
    assert app.redbeat_conf.redis_url == "redis://given:5/5"
    assert app.redbeat_conf.key_prefix == "given:"
    assert not hasattr(app, "redbeat_redis")


@pytest.mark.parametrize(
    ("flags", "env", "part"),
    [
        (Flags(url="http://x"), {}, "http://x"),
        (Flags(timezone="Mars/Base"), {}, "Mars/Base"),
        (Flags(timezone="../../etc/passwd"), {}, "time zone"),
        (Flags(app="no.such.module"), {}, "no.such.module"),
        (Flags(app="json"), {}, "json"),
        (Flags(), {"REDBEAT_READ_ONLY": "perhaps"}, "REDBEAT_READ_ONLY"),
        (Flags(), {"REDBEAT_THEME": "plaid"}, "plaid"),
    ],
)
def test_an_invalid_value_is_named_in_the_error(
    flags: Flags, env: dict[str, str], part: str
) -> None:
    with pytest.raises(OptionError, match=part.replace(".", r"\.").replace("/", "/")):
        resolve(flags, env)
