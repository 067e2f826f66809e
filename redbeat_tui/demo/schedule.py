"""The schedule of the demo's shop: about fifteen entries, of every kind.

Some come from the code, as ``beat_schedule``; the others are created at run time, as an application
creates them.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from celery.schedules import crontab, schedule
from dateutil import rrule as dateutil

from redbeat_core.operations import Operations
from redbeat_core.schedules import rrule
from redbeat_core.storage.schedule_store import store_for

if TYPE_CHECKING:
    from celery import Celery

#: The entries of the shop's ``beat_schedule``.
STATICS: dict[str, dict[str, Any]] = {
    "ping payment provider": {"task": "shop.payments.ping", "schedule": 2.0},
    "sync stock": {
        "task": "shop.stock.sync",
        "schedule": 5.0,
        "kwargs": {"warehouses": ["Lille", "Lyon"]},
    },
    "confirm orders": {"task": "shop.orders.confirm", "schedule": 10.0},
    "cancel stale carts": {
        "task": "shop.carts.cancel_stale",
        "schedule": crontab(minute="*/5"),
        "kwargs": {"older_than_hours": 48},
    },
    "database backup": {
        "task": "shop.database.backup",
        "schedule": crontab(minute="30", hour="2"),
    },
    "newsletter": {
        "task": "shop.mail.newsletter",
        "schedule": crontab(minute="0", hour="9", day_of_week="mon"),
        "args": ("customers",),
    },
}

#: An invalid definition: there is no hour 25.
BROKEN = {
    "name": "legacy export",
    "task": "shop.stock.report",
    "args": [],
    "kwargs": {"format": "csv"},
    "options": {},
    "schedule": {
        "__type__": "crontab",
        "minute": "0",
        "hour": "25",
        "day_of_week": "*",
        "day_of_month": "*",
        "month_of_year": "*",
    },
    "enabled": True,
}


def fill(app: Celery) -> None:
    """Create the entries of run time, and pause one of them.

    :raises redbeat_core.storage.connection.ConnectionProblem: the server refuses them.
    """
    from redbeat_core import RedBeatSchedulerEntry

    now = datetime.now(ZoneInfo(str(app.conf.timezone))).replace(microsecond=0)
    opening = now.replace(hour=8, minute=0, second=0)
    every = timedelta
    entries: list[tuple[str, str, Any, dict[str, Any]]] = [
        ("check fraud", "payments.check_fraud", schedule(every(seconds=3)), {}),
        ("import supplier prices", "prices.import_feed", schedule(every(minutes=1)), {}),
        (
            "render product images",
            "catalogue.render_images",
            schedule(every(seconds=20)),
            {"kwargs": {"sizes": [160, 640, 1600]}},
        ),
        (
            "track parcels",
            "carrier.track",
            schedule(every(seconds=7)),
            {"kwargs": {"carrier": "Colissimo"}},
        ),
        (
            "stock report",
            "stock.report",
            rrule("WEEKLY", dtstart=now, byweekday=[0, 2, 4], byhour=7, byminute=30, bysecond=0),
            {},
        ),
        (
            "close the month",
            "invoices.close_month",
            rrule(
                "MONTHLY",
                dtstart=now,
                byweekday=dateutil.FR(-1),
                byhour=18,
                byminute=0,
                bysecond=0,
            ),
            {"args": ["invoices"]},
        ),
        (
            "start the winter sale",
            "campaign.start",
            rrule("DAILY", dtstart=opening + timedelta(days=12), count=1),
            {"args": ["winter"]},
        ),
        ("loyalty points", "mail.loyalty", schedule(every(seconds=30)), {}),
        (
            "recommendations (old)",
            "mail.newsletter",
            crontab(minute="15", hour="6", app=app),
            {"enabled": False},
        ),
    ]
    for name, task, when, rest in entries:
        RedBeatSchedulerEntry(name, f"shop.{task}", when, app=app, **rest).save()

    store = store_for(app)
    Operations(store, app=app, actor="nadia@shop-ops-1").pause(
        "loyalty points", note="points were counted twice on Friday; wait for the fix"
    )
    key = store.keys.entry(str(BROKEN["name"]))
    store.client.hset(key, "definition", json.dumps(BROKEN))
    store.client.zadd(store.keys.schedule, {key: now.timestamp()})
