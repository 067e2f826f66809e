"""Take the pictures of the README from the running demo: python screenshots/make.py"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.pilot import Pilot

from redbeat_core.operations import Operations
from redbeat_tui.app import ConsoleApp
from redbeat_tui.config import open_store, options_for
from redbeat_tui.demo.processes import Processes
from redbeat_tui.demo.shop import make_shop

HERE = Path(__file__).parent
SIZE = (140, 24)
#: Seconds for the shop to be busy: its slowest task is failing, running or done by then.
WARM_UP = 25.0


async def table(pilot: Pilot[int]) -> None:
    """The table, with the cursor on an entry that failed."""
    await pilot.press(*["down"] * 5)
    await pilot.pause(1.0)


async def edit(pilot: Pilot[int]) -> None:
    """The editor, with a rule typed and its next runs."""
    await pilot.press("slash", *"month", "enter", "e")
    await pilot.pause(1.0)
    await pilot.press("ctrl+u", *"FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18;BYMINUTE=30;BYSECOND=0")
    await pilot.pause(1.5)


async def detail(pilot: Pilot[int]) -> None:
    """One entry: definition, state, next runs."""
    await pilot.press("slash", *"track", "enter", "enter")
    await pilot.pause(1.5)


SCENES: dict[str, Callable[[Pilot[int]], Awaitable[None]]] = {
    "table": table,
    "edit": edit,
    "detail": detail,
}


async def take(processes: Processes) -> None:
    """Play each scene in a console of its own and keep the last picture of it."""
    shop = make_shop(processes.url, processes.prefix)
    options = options_for(app=shop, url=processes.url, key_prefix=processes.prefix)
    for name, scene in SCENES.items():
        store = open_store(options)
        operations = Operations(store, app=shop, actor="nadia@shop-ops-1")
        app = ConsoleApp(options, store, operations)
        async with app.run_test(size=SIZE) as pilot:
            await pilot.pause(2.0)
            await scene(pilot)
            picture = re.sub(
                r"\bterminal-\d+-", "terminal-", app.export_screenshot(title="redbeat")
            )
            (HERE / f"{name}.svg").write_text(picture)
            print(f"screenshots/{name}.svg")


async def main() -> None:
    """Start the demo and take all pictures."""
    with Processes() as processes:
        await asyncio.sleep(WARM_UP)
        await take(processes)


if __name__ == "__main__":
    asyncio.run(main())
