"""A real RabbitMQ node for tests: started, frozen, killed, stopped and started again at will.

The node is the machine's own ``rabbitmq-server``, run from a directory of its own: ports, names,
data, logs, plugins and cookie are not those of a RabbitMQ that the machine may run already. It
listens on loopback only, keeps what it was given over restarts, is stopped by its process id, and
its files are gone afterwards. Starting one takes some seconds, so a pytest worker has one for all
of its tests, each of which uses queues of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import amqp

from .orphans import end_with_parent
from .server import free_port, missing
from .waiting import wait_for

#: Debian's scripts; those in /usr/sbin change to another user first.
PROGRAMS = Path("/usr/lib/rabbitmq/bin")
ERLANG = Path("/usr/lib/erlang/bin")
REMEDY = "apt-get install --no-install-recommends rabbitmq-server"


def program(name: str) -> str:
    """The path of one of RabbitMQ's programs, or of Erlang's; leaves the test without it."""
    found = shutil.which(name, path=f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        missing("RabbitMQ", REMEDY)
    return str(found)


class Rabbit:
    """One node.

    :param tls: it speaks TLS, too, with a certificate of its own making.
    :ivar port: the loopback port for AMQP, the same for life; ``tls_port`` that for TLS.
    :ivar certificate: the file by which a client knows the node.
    """

    def __init__(self, *, tls: bool = False) -> None:
        self._program = program("rabbitmq-server")
        # Names of nodes are looked up at a daemon, which would outlive the node that started it.
        self._epmd = program("epmd")
        self.port = self._names_port = self._peers_port = self.tls_port = 0
        self._directory = Path(tempfile.mkdtemp(prefix="redbeat-test-rabbit-"))
        self._tls = tls
        self.certificate = self._directory / "certificate.pem"
        self._process: subprocess.Popen[bytes] | None = None
        self._names: subprocess.Popen[bytes] | None = None
        self._refusing = False
        self._started = False

    @property
    def pid(self) -> int:
        """The process id of the running node."""
        assert self._process is not None, "the node is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there (frozen or not)."""
        return self._process is not None and self._process.poll() is None

    def url(self) -> str:
        """The address that Celery uses."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def tls_url(self) -> str:
        """The address that Celery uses for TLS."""
        return f"amqps://guest:guest@127.0.0.1:{self.tls_port}//"

    def start(self) -> Rabbit:
        """Start the node, if it does not run, and wait until it takes connections."""
        if self.running:
            self.thaw()
            self.admit()
            return self
        for _ in range(1 if self._started else 3):
            if not self._started:
                self._choose_ports()
            self._write_settings()
            if self._names is None or self._names.poll() is not None:
                words = [self._epmd, "-port", str(self._names_port), "-address", "127.0.0.1"]
                self._names = self._run(words)
            self._process = self._run([self._program])
            self._refusing = False
            wait_for(self._settled, 60, what="RabbitMQ")
            if self.running:
                self._started = True
                return self
            # Another program may have taken a port since it was found free.
            if "eaddrinuse" not in self.log():
                break
        raise AssertionError(f"RabbitMQ did not start:\n{self.log()}")

    def stop(self) -> None:
        """End the node politely (SIGTERM)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the node at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, even new ones are accepted, and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT after :meth:`freeze`."""
        os.kill(self.pid, signal.SIGCONT)

    def refuse(self) -> None:
        """Close all connections and take no new ones: for clients as good as stopped, and much
        sooner over."""
        self._refusing = True
        self._tell(
            "rabbit_maintenance:suspend_all_client_listeners(), "
            'rabbit_networking:close_connections(rabbit_networking:connections(), "a test").'
        )

    def admit(self) -> None:
        """Take connections again."""
        if self._refusing:
            self._tell("rabbit_maintenance:resume_all_client_listeners().")
            self._refusing = False

    def alarm(self, on: bool) -> None:
        """Let the node find that it has no memory left, so that it blocks all publishers; or
        that it has enough again."""
        part = "0.0000001" if on else "0.9"
        self._tell(f"vm_memory_monitor:set_vm_memory_high_watermark({part}).")

    def log(self) -> str:
        """What the node wrote so far."""
        files = [self._directory / "output", *sorted((self._directory / "log").glob("*.log"))]
        return "\n".join(one.read_text(errors="replace") for one in files if one.exists())

    def close(self) -> None:
        """End the node and remove its files."""
        if self.running:
            self.kill()
        self._end_names()
        shutil.rmtree(self._directory, ignore_errors=True)

    # Its queues

    def connect(self) -> amqp.Connection:
        """A connection; close it, or use it in a ``with``."""
        connection = amqp.Connection(f"127.0.0.1:{self.port}", connect_timeout=5)
        connection.connect()
        return connection

    def take(self, queue: str) -> list[dict[str, Any]]:
        """Take all messages out of the queue: their headers, ``args`` and ``kwargs``, in order.

        A queue that is not there is empty.
        """
        found = []
        with self.connect() as connection:
            channel = connection.channel()
            try:
                while (message := channel.basic_get(queue, no_ack=True)) is not None:
                    args, kwargs, _ = json.loads(message.body)
                    found.append({**message.headers, "args": args, "kwargs": kwargs})
            except amqp.NotFound:
                pass
        return found

    def declare(self, queue: str, **arguments: Any) -> None:
        """Make a durable queue, with RabbitMQ's ``x-`` arguments."""
        with self.connect() as connection:
            connection.channel().queue_declare(
                queue, durable=True, auto_delete=False, arguments=arguments
            )

    def delete(self, queue: str) -> None:
        """Delete a queue with what is in it."""
        with self.connect() as connection:
            connection.channel().queue_delete(queue)

    # How it is run

    def _choose_ports(self) -> None:
        self._end_names()
        self.port, self._names_port, self._peers_port = free_port(), free_port(), free_port()
        self.tls_port = free_port() if self._tls else 0

    def _end_names(self) -> None:
        if self._names is not None:
            self._names.kill()
            self._names.wait(15)
            self._names = None

    def _write_settings(self) -> None:
        folder = self._directory
        (folder / "plugins").write_text("[].")
        lines = [f"listeners.tcp.local = 127.0.0.1:{self.port}", "disk_free_limit.absolute = 1MB"]
        # Other programs' use of the memory is none of its business here.
        lines += ["vm_memory_high_watermark.relative = 0.9"]
        if self.tls_port:
            lines += self._tls_settings()
        (folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")

    def _tls_settings(self) -> list[str]:
        key = self._directory / "key.pem"
        words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        words += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
        words += ["-keyout", str(key), "-out", str(self.certificate)]
        subprocess.run(words, capture_output=True, check=True, timeout=60)
        return [
            f"listeners.ssl.local = 127.0.0.1:{self.tls_port}",
            f"ssl_options.cacertfile = {self.certificate}",
            f"ssl_options.certfile = {self.certificate}",
            f"ssl_options.keyfile = {key}",
            "ssl_options.verify = verify_none",
        ]

    def _environment(self) -> dict[str, str]:
        folder = self._directory
        return {
            "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            # Where the cookie is kept by which nodes and tools trust each other.
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._names_port),
            # It makes tables for as many files as it may open.
            "ERL_MAX_PORTS": "4096",
            "RABBITMQ_CONF_ENV_FILE": str(folder / "environment"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_DIST_PORT": str(self._peers_port),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}"
            ),
            # Then the script becomes the node, and the process id is the node's.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _run(self, words: list[str]) -> subprocess.Popen[bytes]:
        with (self._directory / "output").open("ab") as output:
            return subprocess.Popen(
                words,
                cwd=self._directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def _tell(self, expression: str) -> None:
        """Let the node evaluate some Erlang."""
        call = shutil.which("erl_call", path=f"{ERLANG}{os.pathsep}{os.environ.get('PATH', '')}")
        if call is None:
            words = [program("rabbitmqctl"), "eval", expression]
        else:
            # Erlang's own, which need not start an Erlang to speak to one: milliseconds.
            cookie = (self._directory / ".erlang.cookie").read_text()
            words = [call, "-sname", "rabbit@localhost", "-c", cookie, "-e"]
        done = subprocess.run(
            words,
            cwd=self._directory,
            env=self._environment(),
            input=f"{expression}\n",
            text=True,
            capture_output=True,
            timeout=60,
        )
        said = done.stdout.replace(" ", "").strip()
        assert done.returncode == 0, done.stderr
        assert said in ("{ok,ok}", "ok"), said

    def _settled(self) -> bool:
        """Whether it has either come up or given up."""
        if not self.running:
            return True
        try:
            self.connect().close()
        except (TimeoutError, OSError, amqp.AMQPError):
            return False
        return True

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self.thaw()
            self._process.send_signal(how)
        self._process.wait(30)
        self._process = None
