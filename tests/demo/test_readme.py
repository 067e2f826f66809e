"""The code and the commands of the README work as they are."""

from __future__ import annotations

import functools
import re
import shlex
from pathlib import Path

import redis
from celery import Celery
from celery.schedules import schedule

from redbeat_core import RedBeatSchedulerEntry
from redbeat_core.storage.schedule_store import store_for
from tests.support.processes import Processes
from tests.support.shop import ran
from tests.support.waiting import wait_for

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_entry_and_the_commands_of_the_readme(
    app: Celery, client: redis.Redis, processes: Processes, url: str
) -> None:
    block = re.search(
        r"^    from celery\.schedules.*?\.save\(\)$", README, re.MULTILINE | re.DOTALL
    )
    assert block
    code = block.group().replace("\n    ", "\n").strip().replace("proj.tasks.report", "shop.record")
    exec(code, {"app": app})
    saved = RedBeatSchedulerEntry.from_key("redbeat:send report", app=app)
    assert saved.task == "shop.record"

    processes.worker()
    processes.beat().wait_for_log("leading")
    commands = re.findall(r"^    redbeat-tui ((?:list|show|pause|resume|trigger|edit|delete).*)$",
                          README, re.MULTILINE)  # fmt: skip
    assert len(commands) == 8
    for number, command in enumerate(commands):
        console = processes.console(
            f"console-{number}", shlex.split(command), environment={"REDBEAT_REDIS_URL": url}
        )
        assert console.wait() == 0, f"{command}: {console.log}"
        assert "Traceback" not in console.log
    assert store_for(app).get("send report") is None
    wait_for(lambda: ran(client), what="the run that was triggered")
    assert [run.task for run in ran(client)] == ["shop.record"]


def test_both_names_of_the_scheduler_start_it(
    client: redis.Redis, processes: Processes, app: Celery
) -> None:
    RedBeatSchedulerEntry("quick", "shop.record", schedule(1.0), app=app).save()
    processes.worker()
    for scheduler in ("redbeat_core.RedBeatScheduler", "redbeat-core"):
        before = len(ran(client))
        beat = processes.beat(f"beat-{len(scheduler)}", scheduler=scheduler)
        wait_for(functools.partial(_more_than, before, client), what=f"a run by {scheduler}")
        assert beat.terminate() == 0


def _more_than(count: int, client: redis.Redis) -> bool:
    return len(ran(client)) > count
