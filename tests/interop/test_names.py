"""Whoever imports something from celery-redbeat finds it here under the same name."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import pytest
from redbeat import schedules as their_schedules

from redbeat_core import decoder, rrule, schedules

#: What celery-redbeat's modules have, and ours do not, with the reason.
LEFT_OUT = {
    "decoder": {
        "timedelta": "of Python's datetime",
        "timezone": "of Python's datetime",
    },
    "schedules": {
        "dateutil_rrule": "dateutil.rrule.rrule; a rule of ours gives it as its attribute `rrule`",
    },
    "schedulers": {
        "MINYEAR": "of Python's datetime",
        "datetime": "of Python's datetime",
        "DEFAULT_MAX_INTERVAL": "of celery.beat",
        "ScheduleEntry": "of celery.beat",
        "app_or_default": "of celery.app",
        "beat_init": "of celery.signals",
        "humanize_seconds": "of celery.utils.time",
        "cached_property": "of kombu.utils.objects",
        "maybe_sanitize_url": "of kombu.utils.url",
        "Redis": "of redis",
        "MasterNotFoundError": "of redis.sentinel",
        "Sentinel": "of redis.sentinel",
        "retry": "of tenacity, which is not used here",
        "retry_if_exception_type": "of tenacity, which is not used here",
        "stop_after_delay": "of tenacity, which is not used here",
        "wait_exponential": "of tenacity, which is not used here",
        "RedBeatJSONDecoder": "at home in decoder, in both packages",
        "RedBeatJSONEncoder": "at home in decoder, in both packages",
        "to_timestamp": "at home in decoder, in both packages",
        "LUA_EXTEND_TO_SCRIPT": "how celery-redbeat renews its lock; the lease does it otherwise",
        "REDBEAT_SENTINEL_KEY": "no app.redbeat_sentinel is kept: the client's connection pool "
        "has it as `sentinel_manager`",
        "REDBEAT_INTERNAL_OPTIONS": "how celery-redbeat sorts its options",
        "ADD_ENTRY_ERROR": "the wording of a log line",
    },
}


def public(module: ModuleType) -> set[str]:
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }


@pytest.mark.parametrize("name", LEFT_OUT)
def test_every_name_of_celery_redbeat_is_here(name: str) -> None:
    theirs = import_module(f"redbeat.{name}")
    ours = import_module(f"redbeat_core.{name}")
    assert public(theirs) - set(dir(ours)) <= LEFT_OUT[name].keys()


def test_the_names_mean_the_same() -> None:
    for name in ("DAILY", "HOURLY", "MINUTELY", "MONTHLY", "SECONDLY", "WEEKLY", "YEARLY"):
        assert getattr(schedules, name) == getattr(their_schedules, name)
        assert rrule(getattr(schedules, name)).freq == rrule(name).freq
    assert decoder.rrule is rrule
