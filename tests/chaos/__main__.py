"""The command of the chaos runs: ``python -m tests.chaos``; see README.md beside this file."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.support.server import REDIS, VALKEY

from .run import PEER, PEER_LEASE, Options, chaos


def main() -> int:
    """Run what the command line asks for; 0 only if nothing was lost, and nothing was twice."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=300, help="SIGKILLs of the leader")
    parser.add_argument("--restarts", type=int, default=20, help="restarts of Redis")
    parser.add_argument("--freezes", type=int, default=15, help="SIGSTOPs of the leader")
    parser.add_argument("--stalls", type=int, default=5, help="SIGSTOPs of Redis")
    parser.add_argument("--rate", type=float, default=500, help="dispatches a second")
    parser.add_argument("--standbys", type=int, default=2)
    parser.add_argument("--lease", type=float, help="redbeat_lock_timeout, seconds")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--no-lock", action="store_true", help="all beats dispatch, no lease")
    deliveries = ("auto", "at-least-once", "at-most-once")
    parser.add_argument("--delivery", choices=deliveries, default="auto")
    parser.add_argument("--server", choices=(REDIS, VALKEY), default=REDIS)
    parser.add_argument("--peer", choices=[PEER], help="run this scheduler instead of ours")
    parser.add_argument("--keep", action="store_true", help="keep the directory in any case")
    given = parser.parse_args()
    options = Options(
        kills=given.kills,
        restarts=given.restarts,
        freezes=given.freezes,
        stalls=given.stalls,
        rate=given.rate,
        standbys=given.standbys,
        lease=given.lease or (PEER_LEASE if given.peer else 1.0),
        seed=given.seed,
        lock=not given.no_lock,
        peer=given.peer is not None,
        delivery=given.delivery,
        server=given.server,
    )
    directory = Path(tempfile.mkdtemp(prefix="redbeat-chaos-"))
    started = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - started:7.1f} s  {line}", flush=True)

    outcome = chaos(options, directory, tell)
    print(outcome.table())
    if given.keep or not (outcome.clean or outcome.peer):
        outcome.save(directory)
        print(outcome.explain())
        print(f"the whole record is in {directory}")
    else:
        shutil.rmtree(directory)
    return 0 if outcome.clean or outcome.peer else 1


if __name__ == "__main__":
    sys.exit(main())
