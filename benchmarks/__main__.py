"""Run the benchmarks in turn, this project beside celery-redbeat, and print the ratios.

    python -m benchmarks [--quick] [--only lateness,listing] [--skip scale]

Figures of a full run go to benchmarks/results.json, and from there into docs/benchmarks.md and its
plot; with ``--only`` the others stay as they were. ``--quick`` runs little of everything, to see
that it works: its figures are printed and kept nowhere.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.peers import surroundings, table

KEPT = Path(__file__).with_name("results.json")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One run of one module.

    :ivar full: its arguments in a full run.
    :ivar by_name: it runs only when it is named: it takes long.
    """

    title: str
    module: str
    full: tuple[str, ...] = ()
    by_name: bool = False

    def words(self, quick: bool) -> list[str]:
        """The command, without the interpreter."""
        return ["-m", f"benchmarks.{self.module}", *self.full, *(["--quick"] if quick else [])]


BENCHMARKS = {
    "dispatch": Benchmark(
        "Many due at once",
        "dispatch",
        ("--only", "plain,expires,countdown,custom,receiver", "--rounds", "2"),
    ),
    "lateness": Benchmark("How late runs are", "lateness"),
    "thundering": Benchmark("All at once", "lateness", ("--thundering", "5000")),
    "drift": Benchmark("Drift", "lateness", ("--drift", "600"), by_name=True),
    "edits": Benchmark("When a change takes effect", "edits"),
    "failover": Benchmark(
        "How long nobody leads", "failover", ("--kills", "4", "--only", "kill,term")
    ),
    "failover-20": Benchmark("How long nobody leads, over 20 kills", "failover", by_name=True),
    "statics": Benchmark("Starting with many static entries", "statics"),
    "listing": Benchmark("Reading the whole schedule", "listing"),
    "recurrence": Benchmark("Finding the next run of a schedule", "recurrence", ("--limit", "3")),
    "scale": Benchmark("Idling, by the size of the schedule", "scale", ("--seconds", "15")),
    "rabbitmq": Benchmark("Dispatch to RabbitMQ", "rabbitmq", by_name=True),
}


def run(name: str, quick: bool) -> dict[str, Any] | None:
    """One benchmark's JSON; None when it failed."""
    benchmark = BENCHMARKS[name]
    words = benchmark.words(quick)
    shown = shlex.join(["python", *words])
    print(f"\n==> {benchmark.title}: {shown}", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "result.json")
        command = [sys.executable, *words, "--json", str(path)]
        done = subprocess.run(command, cwd=Path(__file__).parents[1], check=False)
        if done.returncode or not path.exists():
            print(f"it failed (exit code {done.returncode})", file=sys.stderr)
            return None
        result: dict[str, Any] = json.loads(path.read_text())
    result["seconds"] = round(time.monotonic() - started, 1)
    result["words"] = ["python", *words]
    result["at"] = _today()
    return result


def keep(results: dict[str, Any], command: str) -> None:
    """Merge *results* into those that are kept, and write the page and the plot."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"results": {}}
    kept["results"] |= results
    kept["command"] = command
    kept["at"] = _today()
    kept["surroundings"] = surroundings()
    KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    report.write(kept, {name: benchmark.title for name, benchmark in BENCHMARKS.items()})


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="little of everything, kept nowhere")
    parser.add_argument("--only", metavar="NAMES", help=f"some of {','.join(BENCHMARKS)}")
    parser.add_argument("--skip", metavar="NAMES", default="")
    parser.add_argument("--report", action="store_true", help="only write the page anew")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else default_names()
    skipped = set(options.skip.split(","))
    unknown = {name for name in [*chosen, *skipped] if name} - BENCHMARKS.keys()
    if unknown:
        parser.error(f"no benchmark is named {', '.join(unknown)}: {', '.join(BENCHMARKS)} are")
    if options.report:
        report.write(json.loads(KEPT.read_text()), {n: b.title for n, b in BENCHMARKS.items()})
        return
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    results: dict[str, Any] = {}
    wanted = [name for name in chosen if name not in skipped]
    for name in wanted:
        result = run(name, options.quick)
        if result is not None:
            results[name] = result
            if not options.quick:
                # At once: another may be stopped before it ends.
                keep({name: result}, command)
    print("\n==> In short")
    print(table(report.headlines(results)))
    if results and not options.quick:
        print(f"\nwritten: {KEPT.name}, {report.PAGE.name}, {report.PICTURE.name}")
    if len(results) < len(wanted):
        raise SystemExit(1)


def default_names() -> list[str]:
    """What runs when nothing is named."""
    return [name for name, benchmark in BENCHMARKS.items() if not benchmark.by_name]


if __name__ == "__main__":
    main()
