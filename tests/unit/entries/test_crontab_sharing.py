"""Crontabs of the same text share what they hold, and are strangers in everything else."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from celery import Celery
from celery.schedules import crontab

from redbeat_core.entries.codec import DecodeError
from redbeat_core.entries.codec_types import from_wire
from redbeat_core.entries.record import bind

NINE = {"__type__": "crontab", "minute": "0", "hour": "9", "day_of_week": "mon-fri"}


def read(**fields: Any) -> Any:
    return from_wire({"__type__": "crontab", **fields})


def test_a_crontab_read_twice_is_equal_to_one_that_was_made() -> None:
    made = crontab(minute="0", hour="9", day_of_week="mon-fri")
    for _ in range(2):
        found = from_wire(dict(NINE))
        assert found == made
        assert repr(found) == repr(made)
        assert pickle.loads(pickle.dumps(found)) == made


def test_crontabs_of_the_same_text_share_their_sets_only() -> None:
    one, other = from_wire(dict(NINE)), from_wire(dict(NINE))
    assert one is not other
    assert one.day_of_week is other.day_of_week
    here, there = Celery(set_as_current=False), Celery(set_as_current=False)
    here.conf.timezone, there.conf.timezone = "Europe/Paris", "Asia/Tokyo"
    bind(one, here)
    bind(other, there)
    assert str(one.tz) == "Europe/Paris"
    assert str(other.tz) == "Asia/Tokyo"
    assert str(bind(from_wire(dict(NINE)), here).tz) == "Europe/Paris"


@pytest.mark.parametrize("field", [True, 1.0])
def test_what_equals_a_field_is_still_none(field: object) -> None:
    read(minute=1)
    with pytest.raises(DecodeError):
        read(minute=field)


def test_a_field_may_be_a_list() -> None:
    assert read(minute=[0, 30]) == crontab(minute=[0, 30])
