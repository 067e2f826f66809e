"""Real processes for tests: beats, workers, consoles, scripts.

:class:`Processes` (the fixture ``processes``) starts them and, at the end of the test, ends
whatever still runs, with everything that it started itself. Each writes what it says to a file that
:attr:`Process.log` reads; it is shown when the test fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .orphans import end_with_parent
from .waiting import wait_for

ROOT = Path(__file__).parents[2]


class Process:
    """A running program: the leader of a session of its own.

    :ivar name: for messages.
    :ivar pid: its process id.
    """

    def __init__(
        self, name: str, words: Sequence[str], directory: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self._log = directory / f"{name}.log"
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                words,
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
        self.pid = self._process.pid

    @property
    def log(self) -> str:
        """Everything that it wrote so far, output and errors."""
        return self._log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        """Whether it has not ended (it may be frozen)."""
        return self._process.poll() is None

    def wait_for_log(self, pattern: str, timeout: float = 30.0, *, count: int = 1) -> str:
        """Wait until its log has *count* matches of the regular expression; returns the last."""

        def matches() -> str | None:
            found = list(re.finditer(pattern, self.log))
            if len(found) >= count:
                return found[-1].group() or " "
            assert self.running, f"{self.name} ended before it wrote {pattern!r}:\n{self.log}"
            return None

        try:
            return wait_for(matches, timeout, what=f"{pattern!r} in the log of {self.name}") or ""
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.log[-4000:]}") from None

    def wait(self, timeout: float = 20.0) -> int:
        """Wait until it has ended and return its exit code (minus the signal's number)."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} still runs after {timeout:g} s:\n{self.log[-4000:]}"
            ) from None

    def send(self, what: signal.Signals) -> None:
        """Send a signal to this one process."""
        os.kill(self.pid, what)

    def terminate(self, timeout: float = 20.0) -> int:
        """SIGTERM, then wait for the end."""
        self.send(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> int:
        """SIGKILL, then wait for the end."""
        self.send(signal.SIGKILL)
        return self.wait()

    def freeze(self) -> None:
        """SIGSTOP."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT after :meth:`freeze`."""
        self.send(signal.SIGCONT)

    def close(self) -> None:
        """End it, whatever its state, and what it started in its session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(20)


class Processes:
    """Starts processes around one server.

    All of them run the tests' shop (:mod:`tests.support.shop`): an app whose tasks write down in
    Redis what ran.

    :ivar url: where the schedule, the broker and the list of what ran are, unless told otherwise.
    """

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self.directory = directory
        self.started: list[Process] = []

    def beat(
        self,
        name: str = "beat",
        *,
        scheduler: str = "redbeat_core.RedBeatScheduler",
        url: str | None = None,
        conf: Mapping[str, Any] | None = None,
        max_interval: float | None = None,
        environment: Mapping[str, str] | None = None,
        loglevel: str = "info",
    ) -> Process:
        """A real ``celery beat``.

        :param conf: Celery settings on top of the shop's, as JSON can say them; ``beat_schedule``
            may hold crontabs as ``{"crontab": {"minute": "*/5"}}``.
        :param max_interval: ``--max-interval``, seconds.
        """
        words = ["beat", "-S", scheduler, "--loglevel", loglevel, "--pidfile="]
        words += ["--schedule", str(self.directory / f"{name}.shelve")]
        if max_interval is not None:
            words += ["--max-interval", str(max_interval)]
        return self.celery(name, words, url=url, conf=conf, environment=environment)

    def original_beat(self, name: str = "original", **options: Any) -> Process:
        """A real ``celery beat`` with the original celery-redbeat as its scheduler."""
        return self.beat(name, scheduler="redbeat.RedBeatScheduler", **options)

    def worker(
        self,
        name: str = "worker",
        *,
        url: str | None = None,
        conf: Mapping[str, Any] | None = None,
        words: Sequence[str] = (),
        pool: str = "threads",
        environment: Mapping[str, str] | None = None,
        ready: bool = True,
    ) -> Process:
        """A real ``celery worker``; with *ready* it already consumes when this returns."""
        line = ["worker", "--pool", pool, "--concurrency", "4", "--loglevel", "info"]
        line += ["--without-mingle", "--without-gossip", "--hostname", f"{name}@tests", *words]
        worker = self.celery(name, line, url=url, conf=conf, environment=environment)
        if ready:
            worker.wait_for_log(r"worker@tests ready|\bready\.")
        return worker

    def celery(
        self,
        name: str,
        words: Sequence[str],
        *,
        url: str | None = None,
        conf: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        """``celery -A tests.support.shop`` and *words*."""
        shop = {"TEST_SHOP_URL": url or self.url, "TEST_SHOP_CONF": json.dumps(dict(conf or {}))}
        return self.python(
            name,
            ["-m", "celery", "-A", "tests.support.shop", *words],
            environment={**shop, **(environment or {})},
        )

    def console(self, name: str, words: Sequence[str], **options: Any) -> Process:
        """``redbeat-tui`` and *words*, without a terminal: for its subcommands."""
        return self.python(name, ["-m", "redbeat_tui", *words], **options)

    def python(
        self,
        name: str,
        words: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        """This interpreter with *words*, in a directory of its own."""
        process = Process(
            name,
            [sys.executable, *words],
            self.directory,
            {**clean_environment(), **(environment or {})},
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        """End all that still run."""
        for process in reversed(self.started):
            process.close()

    def logs(self) -> str:
        """What all of them wrote."""
        return "\n".join(f"--- {one.name}\n{one.log[-6000:]}" for one in self.started)


def clean_environment() -> dict[str, str]:
    """The environment for a child: this one, without what would configure the programs under
    test, and with the project on the path."""
    mine = ("REDBEAT_", "CELERY_", "TEST_SHOP_", "TEXTUAL", "PYTEST_", "COLUMNS", "LINES")
    # Hundreds of processes are started: none should have to compile what another one did.
    slow = ("PYTHONDONTWRITEBYTECODE",)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(mine + slow)}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def alive(pid: int) -> bool:
    """Whether a process has that id, zombies not counted."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    state = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(OSError):
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def descendants(pid: int) -> set[int]:
    """The process ids of all that *pid* started, and of what those started, that still run."""
    parents = _parents()
    found: set[int] = set()
    new = {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def _parents() -> dict[int, int]:
    if Path("/proc/self/stat").exists():
        table = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (folder / "stat").read_text().rpartition(")")[2].split()
                table[int(folder.name)] = int(words[1])
        return table
    lines = subprocess.run(
        ["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return {int(child): int(parent) for child, parent in map(str.split, lines)}
