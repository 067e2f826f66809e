"""A proxy in front of a Redis server that does to its clients what networks and servers do.

:class:`FaultProxy` passes commands on, one at a time and each with its reply, until one matches a
:class:`Fault` that was set with :meth:`FaultProxy.inject`. A script is known by the name of its
file (``commit``), any other command by its first word (``SUBSCRIBE``).
"""

from __future__ import annotations

import contextlib
import hashlib
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files

from redbeat_core.storage.scripts import script_text

from .waiting import wait_for

#: The connection ends and the server never heard of the command.
UNSENT = "connection dropped before the command"
#: The server executed it, and the client does not learn of it.
UNHEARD = "connection dropped before the reply"
#: Part of the reply arrives, then the connection ends.
CUT = "connection dropped within the reply"
#: The command arrives when its client has long given up: at :meth:`FaultProxy.deliver_late`.
LATE = "command delayed past the client's patience"
#: The reply does so.
MUTE = "reply delayed past the client's patience"
#: The server executes it, and the scripts are gone right after.
FLUSHED = "scripts flushed after the command"
CONNECTION_FAULTS = (UNSENT, UNHEARD, CUT, LATE, MUTE)
#: What servers answer instead of executing a command.
REFUSALS = {
    "out of memory": "OOM command not allowed when used memory > 'maxmemory'.",
    "read-only replica": "READONLY You can't write against a read only replica.",
    "busy": "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN.",
    "loading": "LOADING Redis is loading the dataset in memory",
    "script killed": "ERR Error running script: Script killed by user with SCRIPT KILL...",
    "script unknown": "NOSCRIPT No matching script. Please use EVAL.",
    "disk full": "MISCONF Redis is configured to save RDB snapshots, but it's unable to.",
}
#: Commands that are answered by a push, and make all that follows one.
_SUBSCRIBING = ("SUBSCRIBE", "PSUBSCRIBE")


@dataclass
class Fault:
    """One fault, which happens once.

    :ivar step: the script or command that it happens to.
    :ivar how: one of the constants above, or a key of ``REFUSALS``; empty: only *before* and
        *after* are called.
    :ivar nth: the how many-th such command, from 1.
    :ivar before: called when the command has come and not been passed on.
    :ivar after: called when the server has executed it and the client does not know yet.
    :ivar happened: set as soon as it has.
    """

    step: str
    how: str = ""
    nth: int = 1
    before: Callable[[], object] | None = None
    after: Callable[[], object] | None = None
    happened: threading.Event = field(default_factory=threading.Event)


class FaultProxy:
    """Listens on a loopback port and passes everything on to *port*.

    :ivar target: the port of the server; another one takes effect for new connections.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        #: Called with the step and ``before`` or ``after``, for each command that is passed on;
        #: as long as one call lasts, no other command is passed on.
        self.watcher: Callable[[str, str], object] | None = None
        self._turn = threading.Lock()
        self._names = _script_names()
        self._faults: list[Fault] = []
        self._mutex = threading.Lock()
        self._open: set[socket.socket] = set()
        self._held: list[threading.Event] = []
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._start(self._accept)

    def url(self, db: int = 0) -> str:
        """The URL of the server behind it, by way of the proxy."""
        return f"redis://127.0.0.1:{self.port}/{db}"

    def inject(self, step: str, how: str = "", **more: object) -> Fault:
        """Let this happen to the next such command."""
        fault = Fault(step, how, **more)  # type: ignore[arg-type]
        with self._mutex:
            self._faults.append(fault)
        return fault

    def deliver_late(self) -> None:
        """Let the server have what ``LATE`` held back, and wait until it has executed it."""
        with self._mutex:
            held, self._held = self._held, []
        for sign in held:
            sign.set()
        wait_for(lambda: not any(t.name == "late" and t.is_alive() for t in self._threads))

    def cut_all(self) -> None:
        """End all connections that are open now."""
        with self._mutex:
            for one in self._open:
                _shut(one)

    def switch(self, port: int) -> None:
        """Lead to another server from now on, as after a failover."""
        self.target = port
        self.cut_all()

    def close(self) -> None:
        """End it with all its threads."""
        self._closed = True
        _shut(self._listener)
        self._listener.close()
        self.cut_all()
        for sign in self._held:
            sign.set()
        for thread in self._threads:
            thread.join(10)

    def _start(self, run: Callable[..., None], *args: object, name: str = "proxy") -> None:
        thread = threading.Thread(target=run, args=args, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target), 10)
            except OSError:
                continue
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                one.settimeout(None)
            with self._mutex:
                self._open |= {client, server}
            self._start(self._serve, client, server)

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        asked, answered = _Reader(client), _Reader(server)
        try:
            while command := asked.frame():
                step = self._step_of(command)
                fault = self._take(step)
                if fault is not None and not self._inflict(fault, command, client, answered):
                    return
                if fault is None:
                    client.sendall(self._pass_on(command, step, client, answered))
                if step in _SUBSCRIBING:
                    _relay(client, server)
                    return
        except OSError:
            pass
        finally:
            self._end(client, server)

    def _pass_on(
        self, command: bytes, step: str, client: socket.socket, answered: _Reader
    ) -> bytes:
        watcher = self.watcher
        if watcher is None:
            answered.source.sendall(command)
            return answered.reply(client, step)
        with self._turn:
            watcher(step, "before")
            answered.source.sendall(command)
            reply = answered.reply(client, step)
            watcher(step, "after")
        return reply

    def _inflict(
        self, fault: Fault, command: bytes, client: socket.socket, answered: _Reader
    ) -> bool:
        """Execute one command with its fault; False when the connection has ended."""
        server = answered.source
        if fault.before is not None:
            fault.before()
        if fault.how in REFUSALS:
            client.sendall(f"-{REFUSALS[fault.how]}\r\n".encode())
            fault.happened.set()
            return True
        if fault.how == UNSENT:
            fault.happened.set()
            return False
        if fault.how == LATE:
            self._deliver_later(command)
            fault.happened.set()
            _until_gone(client)
            return False
        server.sendall(command)
        reply = answered.reply(client, fault.step)
        if fault.after is not None:
            fault.after()
        if fault.how == FLUSHED:
            with socket.create_connection(("127.0.0.1", self.target), 10) as other:
                other.sendall(b"SCRIPT FLUSH\r\n")
                _Reader(other).frame()
        fault.happened.set()
        if fault.how == UNHEARD:
            return False
        if fault.how == MUTE:
            _until_gone(client)
            return False
        if fault.how == CUT:
            client.sendall(reply[: max(len(reply) // 2, 1)])
            return False
        client.sendall(reply)
        return True

    def _deliver_later(self, command: bytes) -> None:
        sign = threading.Event()
        server = socket.create_connection(("127.0.0.1", self.target), 10)

        def deliver() -> None:
            sign.wait(60)
            with contextlib.suppress(OSError), server:
                server.sendall(command)
                _Reader(server).frame()

        with self._mutex:
            self._held.append(sign)
        self._start(deliver, name="late")

    def _take(self, step: str) -> Fault | None:
        with self._mutex:
            for fault in self._faults:
                if fault.step == step:
                    fault.nth -= 1
                    if fault.nth == 0:
                        self._faults.remove(fault)
                        return fault
        return None

    def _step_of(self, command: bytes) -> str:
        words = command.split(b"\r\n", 5)
        verb = words[2].decode().upper() if len(words) > 2 else ""
        if verb == "EVALSHA":
            return self._names.get(words[4].decode(), verb)
        return verb

    def _end(self, *sockets: socket.socket) -> None:
        with self._mutex:
            self._open -= set(sockets)
        for one in sockets:
            _shut(one)
            one.close()


class _Reader:
    """Reads whole frames of Redis's protocol."""

    def __init__(self, source: socket.socket) -> None:
        self.source = source
        self._buffer = b""

    def frame(self) -> bytes:
        """The next frame as it came; empty at the end of the connection."""
        try:
            return self._frame()
        except EOFError:
            return b""

    def reply(self, client: socket.socket, step: str) -> bytes:
        """The next frame that answers a command; what is pushed before it is passed on."""
        while frame := self.frame():
            if frame[:1] != b">" or step in _SUBSCRIBING:
                return frame
            client.sendall(frame)
        raise OSError("the server has ended the connection")

    def _frame(self) -> bytes:
        line = self._line()
        kind, size = line[:1], line[1:-2]
        if kind in b"$=!" and size != b"-1":
            return line + self._take(int(size) + 2)
        if kind in b"*~>%" and size != b"-1":
            count = int(size) * (2 if kind == b"%" else 1)
            return line + b"".join(self._frame() for _ in range(count))
        return line

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._more()
        return self._take(self._buffer.index(b"\r\n") + 2)

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _more(self) -> None:
        data = self.source.recv(1 << 16)
        if not data:
            raise EOFError
        self._buffer += data


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Pass on whatever comes, both ways, to the end of either."""
    while True:
        for ready in select.select([one, other], [], [])[0]:
            data = ready.recv(1 << 16)
            if not data:
                return
            (other if ready is one else one).sendall(data)


def _until_gone(client: socket.socket) -> None:
    """Wait until the client has ended the connection."""
    with contextlib.suppress(OSError):
        while client.recv(1 << 16):
            pass


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


def _script_names() -> dict[str, str]:
    """The scripts' names by what ``EVALSHA`` calls them."""
    names = [
        path.name.removesuffix(".lua") for path in (files("redbeat_core.storage") / "lua").iterdir()
    ]
    return {
        hashlib.sha1(script_text(name).encode()).hexdigest(): name
        for name in names
        if not name.startswith("_")
    }
