"""Pickles of schedules: Celery's own beat keeps them in its schedule file."""

from __future__ import annotations

import pickle
import subprocess
import sys
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import BaseSchedule

from redbeat_core.schedules import anchored_interval, once, rrule, rrule_set, zoned_crontab

RULE = rrule("DAILY", dtstart=datetime(2026, 1, 5, 9, tzinfo=ZoneInfo("Europe/Berlin")), count=3)
SCHEDULES: dict[str, BaseSchedule] = {
    "rrule": RULE,
    "rrule_set": rrule_set(rules=[RULE]),
    "once": once(datetime(2026, 12, 24, 18, tzinfo=UTC)),
    "anchored_interval": anchored_interval(timedelta(hours=2), datetime(2026, 1, 1, tzinfo=UTC)),
    "zoned_crontab": zoned_crontab(minute="0", hour="9", tz="Europe/Berlin"),
}
#: Made when each type had a module of its own beside the package's other modules.
OLD = {
    "rrule": (
        "gASVdAEAAAAAAACMEnJlZGJlYXRfY29yZS5ydWxlc5SMCF9yZWJ1aWx0lJOUaACMBXJydWxllJOUfZQojARm"
        "cmVxlEsDjAdkdHN0YXJ0lIwIZGF0ZXRpbWWUjAhkYXRldGltZZSTlEMKB+oBBQkAAAAAAJSMCGJ1aWx0aW5z"
        "lIwHZ2V0YXR0cpSTlIwIem9uZWluZm+UjAhab25lSW5mb5STlIwJX3VucGlja2xllIaUUpSMDUV1cm9wZS9C"
        "ZXJsaW6USwGGlFKUhpRSlIwIaW50ZXJ2YWyUSwGMBHdrc3SUTowFY291bnSUSwOMBXVudGlslE6MCGJ5c2V0"
        "cG9zlE6MB2J5bW9udGiUTowKYnltb250aGRheZROjAlieXllYXJkYXmUTowIYnllYXN0ZXKUTowIYnl3ZWVr"
        "bm+UTowJYnl3ZWVrZGF5lE6MBmJ5aG91cpROjAhieW1pbnV0ZZROjAhieXNlY29uZJROjAZub3dmdW6UTnWJ"
        "h5RSlC4="
    ),
    "rrule_set": (
        "gASVugEAAAAAAACMFnJlZGJlYXRfY29yZS5ydWxlX3NldHOUjAtyZWJ1aWx0X3NldJSTlGgAjAlycnVsZV9z"
        "ZXSUk5QojBJyZWRiZWF0X2NvcmUucnVsZXOUjAhfcmVidWlsdJSTlGgFjAVycnVsZZSTlH2UKIwEZnJlcZRL"
        "A4wHZHRzdGFydJSMCGRhdGV0aW1llIwIZGF0ZXRpbWWUk5RDCgfqAQUJAAAAAACUjAhidWlsdGluc5SMB2dl"
        "dGF0dHKUk5SMCHpvbmVpbmZvlIwIWm9uZUluZm+Uk5SMCV91bnBpY2tsZZSGlFKUjA1FdXJvcGUvQmVybGlu"
        "lEsBhpRSlIaUUpSMCGludGVydmFslEsBjAR3a3N0lE6MBWNvdW50lEsDjAV1bnRpbJROjAhieXNldHBvc5RO"
        "jAdieW1vbnRolE6MCmJ5bW9udGhkYXmUTowJYnl5ZWFyZGF5lE6MCGJ5ZWFzdGVylE6MCGJ5d2Vla25vlE6M"
        "CWJ5d2Vla2RheZROjAZieWhvdXKUTowIYnltaW51dGWUTowIYnlzZWNvbmSUTowGbm93ZnVulE51iYeUUpSF"
        "lCkpKXSUToeUUpQu"
    ),
    "once": (
        "gASVhwAAAAAAAACMEXJlZGJlYXRfY29yZS5vbmNllIwHb25jZV9hdJSTlGgAjARvbmNllJOUjAhkYXRldGlt"
        "ZZSMCGRhdGV0aW1llJOUQwoH6gwYEgAAAAAAlGgFjAh0aW1lem9uZZSTlGgFjAl0aW1lZGVsdGGUk5RLAEsA"
        "SwCHlFKUhZRSlIaUUpROh5RSlC4="
    ),
    "anchored_interval": (
        "gASVqAAAAAAAAACMEXJlZGJlYXRfY29yZS5vbmNllIwNaW50ZXJ2YWxfZnJvbZSTlChoAIwRYW5jaG9yZWRf"
        "aW50ZXJ2YWyUk5SMCGRhdGV0aW1llIwJdGltZWRlbHRhlJOUSwBNIBxLAIeUUpRoBYwIZGF0ZXRpbWWUk5RD"
        "CgfqAQEAAAAAAACUaAWMCHRpbWV6b25llJOUaAdLAEsASwCHlFKUhZRSlIaUUpROdJRSlC4="
    ),
    "zoned_crontab": (
        "gASVaAAAAAAAAACMGnJlZGJlYXRfY29yZS56b25lZF9jcm9udGFilIwHaW5fem9uZZSTlChoAIwNem9uZWRf"
        "Y3JvbnRhYpSTlF2UKIwBMJSMATmUjAEqlGgIaAhljA1FdXJvcGUvQmVybGlulE50lFKULg=="
    ),
}


@pytest.mark.parametrize("name", OLD)
def test_a_pickle_of_before_the_modules_moved_is_the_same_schedule(name: str) -> None:
    assert pickle.loads(b64decode(OLD[name])) == SCHEDULES[name]


@pytest.mark.parametrize("name", OLD)
def test_a_process_that_has_imported_nothing_yet_reads_an_old_pickle(name: str) -> None:
    code = f"import pickle, base64; print(pickle.loads(base64.b64decode({OLD[name]!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(SCHEDULES[name])


@pytest.mark.parametrize("name", OLD)
def test_a_pickle_of_today_is_the_same_schedule(name: str) -> None:
    assert pickle.loads(pickle.dumps(SCHEDULES[name])) == SCHEDULES[name]
