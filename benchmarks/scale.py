"""What a beat costs that has nothing to do, by the size of its schedule.

    python -m benchmarks.scale [--sizes 1000,10000,100000,1000000] [--seconds 20]

For each size, and for both: the time from the start of the process until it leads, the processor
time of beat and of the server for a minute of idling (nothing is due for an hour), and beat's
memory at the end. Then the same with the largest schedule of up to 100,000 all paused.
celery-redbeat is measured as it comes (it looks again after 300 s) and, for its idle cost, also
with ``beat_max_loop_interval = 1``, so that both look once a second.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.peers import (
    OURS,
    PREFIX,
    SCHEDULE,
    THEIRS,
    Beat,
    Result,
    Row,
    arguments,
    connect,
    meta_text,
    server,
    server_cpu,
)

SIZES = (1_000, 10_000, 100_000, 1_000_000)
#: celery-redbeat, looking as often as we do.
EVERY_SECOND = f"{THEIRS}, every second"
#: How many entries one call of the script makes.
_PAGE = 10_000
#: A schedule is made inside the server: a million entries take seconds that way.
_FILL = """
for number = tonumber(ARGV[1]), tonumber(ARGV[2]) - 1 do
  local name = 'shop.entry-' .. string.format('%07d', number)
  local key = KEYS[2] .. name
  local every, due = 3600 + number % 600, ARGV[3] + number % 3600 + 0.25
  if ARGV[5] ~= '' then due = -1 end
  redis.call('HSET', key, 'definition', '{"name": "' .. name .. '", "task": "shop.task-'
    .. number % 100 .. '", "args": [' .. string.format('%d', number) .. '], "kwargs": {}, '
    .. '"options": {}, "schedule": {"__type__": "interval", "every": ' .. every
    .. '.0, "relative": false}, "enabled": ' .. (ARGV[5] == '' and 'true' or 'false') .. '}',
    'meta', ARGV[4], 'due', string.format('%.2f', due))
  redis.call('ZADD', KEYS[1], string.format('%.2f', due), key)
end
"""


@dataclass(frozen=True, slots=True)
class Idle:
    """What one beat costs.

    :ivar lead: seconds from the start of the process until it led.
    :ivar cpu: milliseconds of its processor time for a minute of idling.
    :ivar server: milliseconds of the server's for the same.
    :ivar memory: MiB resident at the end.
    """

    lead: float
    cpu: float
    server: float
    memory: float


def fill(client: Any, entries: int, *, paused: bool = False) -> None:
    """Make a schedule of *entries* that are due from an hour on, or never."""
    client.flushall(asynchronous=True)
    script = client.register_script(_FILL)
    due = int(time.time()) + 3600
    mark = "paused" if paused else ""
    for first in range(0, entries, _PAGE):
        arguments_ = [first, min(first + _PAGE, entries), due, meta_text(due - 3600.0), mark]
        script(keys=[SCHEDULE, PREFIX], args=arguments_)


def measure(which: str, url: str, seconds: float) -> Idle:
    """Let a beat idle for *seconds*, after a moment to come to rest."""
    client = connect(url)
    client.delete("redbeat::lock")
    settings = {"beat_max_loop_interval": 1} if which == EVERY_SECOND else {}
    with Beat(OURS if which == OURS else THEIRS, url, **settings) as beat:
        time.sleep(min(2.0, seconds / 2))
        before, server_before = beat.usage(), server_cpu(client)
        time.sleep(seconds)
        after, server_after = beat.usage(), server_cpu(client)
    minute = 60 / seconds * 1000
    return Idle(
        beat.led_after,
        (after.cpu - before.cpu) * minute,
        (server_after - server_before) * minute,
        after.memory / 2**20,
    )


def run(sizes: list[int], seconds: float) -> dict[str, Any]:
    """By size and scheduler the figures of :class:`Idle`; ``paused``: with a paused schedule."""
    found: dict[str, Any] = {}
    with server() as url:
        client = connect(url)
        for size in sizes:
            fill(client, size)
            found[str(size)] = {
                which: asdict(measure(which, url, seconds))
                for which in (OURS, THEIRS, EVERY_SECOND)
            }
        size = min(max(sizes), 100_000)
        fill(client, size, paused=True)
        found["paused"] = {"size": size, OURS: asdict(measure(OURS, url, seconds))}
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--seconds", type=float, default=20.0, help="of idling, each time")
    options = parser.parse_args()
    sizes = [int(text) for text in options.sizes.split(",")]
    seconds = options.seconds
    if options.quick:
        sizes, seconds = [1000], 1.0
    found = run(sizes, seconds)
    result = Result("scale", more=found)
    for key, what, unit in (
        ("lead", "time to lead", "s"),
        ("cpu", "idle, CPU", "ms/min"),
        ("server", "idle, server's CPU", "ms/min"),
        ("memory", "memory", "MiB"),
    ):
        for size in sizes:
            figures = found[str(size)]
            row = Row(f"{size:,}: {what}", unit, figures[OURS][key], figures[THEIRS][key])
            result.rows.append(row)
    for size in sizes:
        figures = found[str(size)]
        what = f"{size:,}: idle, CPU, both each second"
        ours, theirs = figures[OURS]["cpu"], figures[EVERY_SECOND]["cpu"]
        result.rows.append(Row(what, "ms/min", ours, theirs, headline=size == 10_000))
    paused = found["paused"]
    what = f"{paused['size']:,} paused: idle, CPU"
    result.rows.append(Row(what, "ms/min", paused[OURS]["cpu"]))
    result.notes.append(f"{seconds:g} s of idling each; {EVERY_SECOND}: beat_max_loop_interval = 1")
    result.finish(options.json)


if __name__ == "__main__":
    main()
