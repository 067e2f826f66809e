"""Finds the moment to strike: right after the leader has begun a tick, or is committing one."""

from __future__ import annotations

import hashlib
import random
import socket
import time

from redbeat_core.storage.scripts import script_text
from tests.support.server import Server

#: The scripts by whose digest a tick is recognised in what MONITOR shows.
STEPS = ("claim", "commit")


def log_uniform(rng: random.Random, shortest: float, longest: float) -> float:
    """Seconds between *shortest* and *longest*, as often below as above their geometric mean."""
    return float(shortest * (longest / shortest) ** rng.random())


def wait_for_step(server: Server, step: str, timeout: float = 1.0) -> bool:
    """Wait until the server begins to execute this script of a tick; False if it did not, or is
    away."""
    digest = hashlib.sha1(script_text(step).encode(), usedforsecurity=False).hexdigest().encode()
    deadline = time.monotonic() + timeout
    tail = b""
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout) as wire:
            wire.sendall(b"MONITOR\r\n")
            while time.monotonic() < deadline:
                seen = wire.recv(65536)
                if not seen:
                    return False
                if digest in tail + seen:
                    return True
                tail = seen[-len(digest) :]
    except OSError:
        pass
    return False
