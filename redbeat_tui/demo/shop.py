"""The demo's shop: a Celery app whose tasks take up to some seconds; one of them always fails.

``celery -A redbeat_tui.demo.shop worker`` and ``... beat`` read their server and their key prefix
from the environment variables that the demo's guard sets.
"""

from __future__ import annotations

import os
import random
import time

from celery import Celery

from redbeat_core import worker

from .schedule import STATICS

URL_VARIABLE = "REDBEAT_DEMO_URL"
PREFIX_VARIABLE = "REDBEAT_DEMO_PREFIX"


class CarrierError(Exception):
    """The shop's carrier answered the request for the state of a parcel with an error."""


def make_shop(url: str, prefix: str) -> Celery:
    """Make the app, with its broker and its schedule at *url*. All of its keys start with *prefix*,
    so that it can share a server with other programs."""
    app = Celery("shop", set_as_current=False)
    app.conf.update(
        broker_url=url,
        # No entry has such a key, because names of entries do not begin with a colon.
        broker_transport_options={"global_keyprefix": f"{prefix}:broker:"},
        broker_connection_retry_on_startup=True,
        redbeat_redis_url=url,
        redbeat_redis_options={},  # else redbeat would use the broker's options
        redbeat_key_prefix=prefix,
        beat_schedule=STATICS,
        beat_scheduler="redbeat_core.RedBeatScheduler",
        task_default_queue="shop",
        task_ignore_result=True,
        result_expires=None,  # there are no results to clean up
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        timezone="Europe/Paris",
    )
    _add_tasks(app)
    return app


def _add_tasks(app: Celery) -> None:
    def task(name: str, shortest: float, longest: float) -> None:
        @app.task(name=f"shop.{name}")
        def run(*_args: object, **_kwargs: object) -> None:
            time.sleep(random.uniform(shortest, longest))

    for name in ("payments.ping", "payments.check_fraud", "stock.sync", "carts.cancel_stale"):
        task(name, 0.02, 0.4)
    for name in ("orders.confirm", "prices.import_feed", "mail.newsletter", "mail.loyalty"):
        task(name, 0.2, 1.2)
    for name in ("database.backup", "invoices.close_month", "stock.report", "campaign.start"):
        task(name, 1.0, 3.0)
    task("catalogue.render_images", 5.0, 7.0)

    @app.task(name="shop.carrier.track")
    def track(carrier: str = "the carrier") -> None:
        time.sleep(0.1)
        raise CarrierError(f"{carrier} answered 503 Service Unavailable")


app = make_shop(
    os.environ.get(URL_VARIABLE, "redis://localhost:6379/0"),
    os.environ.get(PREFIX_VARIABLE, "redbeat:"),
)
worker.install(app)
