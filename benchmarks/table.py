"""The table of entries beside Textual's stock DataTable, in one run.

    python benchmarks/table.py [rows ...]

For each number of rows (1,000, 10,000 and 100,000 unless given) and for both: loading them until
the first frame; 40 of the visible cells changed, until the frame; one second's tick, in which
every countdown in view changes; and moving the cursor by a line. ``nothing`` is the
wait itself, in all of them. Prints milliseconds and the
ratio. A ratio above 1 is how many times as long the stock table takes.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import DataTable

from redbeat_core.entries.record import EntryRecord
from redbeat_core.events import Snapshot
from redbeat_tui.live.listing import Listing
from redbeat_tui.live.model import Delta, Model
from redbeat_tui.live.row import Row
from redbeat_tui.widgets.entry_columns import COLUMNS, Present
from redbeat_tui.widgets.entry_table import EntryTable
from tests.support.rows import NOW, meta, record

SIZE = (160, 45)
ROUNDS = 5


class Bench(App[None]):
    def __init__(self, table: EntryTable | DataTable[str]) -> None:
        super().__init__()
        self.table = table

    def compose(self) -> ComposeResult:
        yield self.table

    def on_mount(self) -> None:
        self.table.focus()


def records(count: int) -> tuple[EntryRecord, ...]:
    return tuple(record(f"shop.entry-{n:06}", n, meta=meta(NOW - n % 60)) for n in range(count))


async def timed(
    pilot: Pilot[None], act: Callable[[int], Awaitable[None] | None], rounds: int = ROUNDS
) -> float:
    """Milliseconds until the screen shows what *act* did, the median."""
    taken = []
    for round_ in range(rounds):
        gc.collect()
        started = time.perf_counter()
        waiting = act(round_)
        if waiting is not None:
            await waiting
        await pilot.pause()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1000


async def ours(count: int) -> dict[str, float]:
    model, listing, table = Model(lambda: NOW), Listing(), EntryTable()
    app = Bench(table)
    async with app.run_test(size=SIZE) as pilot:
        snapshot = Snapshot(records(count), 1, NOW)
        prepared = model.prepare(snapshot, defer=True)  # in the feed's thread

        def load(_: int) -> None:
            listing.update(model.rows, model.apply(prepared))
            table.set_rows(listing.rows, NOW)

        def change(round_: int) -> None:
            names = [row.name for row in table.rows[:40]]
            for name in names:
                before = model.rows[name].record
                after = EntryRecord(name, before.score, before.definition, meta(NOW, round_ + 2))
                model._rows[name] = Row(after)
            listing.update(model.rows, Delta(changed=frozenset(names)))
            table.set_rows(listing.rows, NOW)

        return {
            "load": await timed(pilot, load, 1),
            "40 cells": await timed(pilot, change),
            "tick": await timed(pilot, lambda n: table.tick(NOW + 100 + n)),
            "cursor": await timed(pilot, lambda _: table.action_cursor(1)),
            "nothing": await timed(pilot, lambda _: None),
        }


async def stock(count: int) -> dict[str, float]:
    table: DataTable[str] = DataTable(cursor_type="row")
    app = Bench(table)
    async with app.run_test(size=SIZE) as pilot:
        rows = [Row(entry) for entry in records(count)]
        for row in rows:
            row.warm()  # only drawing is compared
        cells = [column.text for column in COLUMNS]

        def load(_: int) -> None:
            keys = [column.key for column in COLUMNS]
            table.add_columns(*[(key, key) for key in keys])
            present = Present(NOW)
            for row in rows:
                table.add_row(*[text(row, present) for text in cells], key=row.name)

        def change(round_: int) -> None:
            for row in rows[:40]:
                table.update_cell(row.name, "last", f"{round_ + 1}s ago")

        def tick(round_: int) -> None:
            present = Present(NOW + 100 + round_)
            for row in rows[: SIZE[1]]:
                table.update_cell(row.name, "next", cells[4](row, present))

        return {
            "load": await timed(pilot, load, 1),
            "40 cells": await timed(pilot, change),
            "tick": await timed(pilot, tick),
            "cursor": await timed(pilot, lambda _: table.action_cursor_down()),
            "nothing": await timed(pilot, lambda _: None),
        }


async def main(counts: list[int]) -> None:
    print(f"{'rows':>8}  {'':10} {'EntryTable':>12} {'DataTable':>12} {'ratio':>8}")
    for count in counts:
        mine = await ours(count)
        theirs = await stock(count)
        for what, took in mine.items():
            other = theirs[what]
            ratio = f"{other / took:7.1f}x"
            print(f"{count:>8}  {what:10} {took:9.1f} ms {other:9.1f} ms {ratio}", flush=True)


if __name__ == "__main__":
    asyncio.run(main([int(text) for text in sys.argv[1:]] or [1_000, 10_000, 100_000]))
