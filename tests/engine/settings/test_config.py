"""Tests the settings: read where Celery finds them, and refused with a reason if wrong."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from celery import Celery

from redbeat_core.settings.config import SETTINGS, ConfigError, RedBeatConfig, ensure_conf

URL = "redis://localhost:6379/0"


def config(**settings: Any) -> RedBeatConfig:
    app = Celery(set_as_current=False)
    app.conf.update({"broker_url": URL, **settings})
    return RedBeatConfig(app)


def test_the_defaults_are_those_of_celery_redbeat_where_it_has_them() -> None:
    found = config()
    assert found.key_prefix == "redbeat:"
    assert found.schedule_key == "redbeat::schedule"
    assert found.statics_key == "redbeat::statics"
    assert found.lock_key == "redbeat::lock"
    assert found.redis_url == URL
    assert found.lock_timeout is None
    assert found.key_expiry_check == "error"


def test_upper_case_names_are_found() -> None:
    assert config(REDBEAT_KEY_PREFIX="shop:").key_prefix == "shop:"


def test_names_in_a_namespace_are_found() -> None:
    app = Celery(set_as_current=False)
    app.config_from_object(
        {"CELERY_REDBEAT_KEY_PREFIX": "shop:", "CELERY_BROKER_URL": URL}, namespace="CELERY"
    )
    assert RedBeatConfig(app).key_prefix == "shop:"


def test_a_lock_key_of_none_means_no_lock() -> None:
    assert config(redbeat_lock_key=None).lock_key is None


def test_a_lock_key_without_the_prefix_gets_it() -> None:
    assert config(redbeat_lock_key="mine").lock_key == "redbeat:mine"
    assert config(redbeat_lock_key="redbeat:mine").lock_key == "redbeat:mine"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("redbeat_redis_url", "http://localhost", "Redis URL"),
        ("redbeat_redis_url", 5, "Redis URL"),
        ("redbeat_redis_options", "retry", "dict"),
        ("redbeat_redis_options", {"retry_period": "soon"}, "seconds"),
        ("redbeat_redis_use_ssl", "yes", "dict"),
        ("redbeat_key_prefix", "", "not empty"),
        ("redbeat_key_prefix", 7, "text"),
        ("redbeat_lock_key", 5, "text"),
        ("redbeat_lock_timeout", 0, "from 1"),
        ("redbeat_lock_timeout", "10", "number"),
        ("redbeat_lock_timeout", True, "number"),
        ("redbeat_key_expiry_check", "maybe", "'warn'"),
        ("redbeat_delivery", "exactly-once", "'at-most-once'"),
        ("redbeat_batch_size", 0, "from 1"),
        ("redbeat_batch_size", 1.5, "whole"),
        ("redbeat_log_length", 1, "from 100"),
        ("redbeat_trigger_expires", -1, "from 1"),
        ("redbeat_catchup", "some", "'one', 'all' or 'skip'"),
        ("redbeat_catchup_limit", 0, "from 1"),
        ("redbeat_grace", -1, "or None for any lateness"),
        ("redbeat_jitter", None, "seconds"),
        ("redbeat_nonexistent", True, "'shift'"),
        ("redbeat_ambiguous", "none", "'both'"),
        ("redbeat_keep_finished", "1h", "or None to keep it"),
    ],
)
def test_a_wrong_value_is_refused_by_name_value_and_what_is_allowed(
    name: str, value: Any, allowed: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        config(**{name: value})
    message = str(refused.value)
    assert name in message
    assert allowed in message
    shown = value["retry_period"] if isinstance(value, dict) else value
    assert repr(shown) in message


def test_every_setting_has_a_test_of_a_wrong_value() -> None:
    tested = test_a_wrong_value_is_refused_by_name_value_and_what_is_allowed.pytestmark[0].args[1]
    assert {case[0] for case in tested} == {setting.name for setting in SETTINGS}


def test_a_password_never_shows_in_a_refusal() -> None:
    with pytest.raises(ConfigError) as refused:
        config(redbeat_redis_url="http://user:hunter2@localhost")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ConfigError) as refused:
        config(redbeat_redis_options=[("password", "hunter2")], redbeat_lock_key=5)
    assert "hunter2" not in str(refused.value)


def test_a_broker_that_is_no_redis_asks_for_the_url() -> None:
    with pytest.raises(ConfigError, match="Set redbeat_redis_url"):
        config(broker_url="amqp://guest:hunter2@localhost//")


def test_a_misspelt_setting_is_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "celery.beat"):
        config(redbeat_lock_timout=5)
    assert "redbeat_lock_timout is unknown" in caplog.text
    assert "did you mean redbeat_lock_timeout?" in caplog.text


def test_the_configuration_is_made_once_for_an_app() -> None:
    app = Celery(set_as_current=False, broker=URL)
    assert ensure_conf(app) is ensure_conf(app) is app.redbeat_conf
