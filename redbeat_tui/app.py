"""The console as a Textual app: wiring only.

The feed's threads talk to Redis; the app applies their items to the model a few times a second,
and passes the changes to the screens. Writes go through the operations, in threads.
"""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, tzinfo
from functools import partial
from typing import Any, ClassVar, TypeVar
from zoneinfo import ZoneInfo

from textual import events
from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.screen import ModalScreen, Screen
from textual.worker import Worker, WorkerState

from redbeat_core.events import Event
from redbeat_core.operations import OperationError, Operations
from redbeat_core.storage.connection import explain, safe_url
from redbeat_core.storage.schedule_store import ScheduleStore
from redbeat_tui.actions.registry import ACTIONS, bar_keys, bindings, palette_entries, refusal
from redbeat_tui.live.model import Delta, Model
from redbeat_tui.live.requested_runs import Run
from redbeat_tui.live.row import Row
from redbeat_tui.live.tally import Tally, count
from redbeat_tui.screens.detail import DetailScreen
from redbeat_tui.screens.help import HelpScreen
from redbeat_tui.screens.run_activity import RunActivity
from redbeat_tui.screens.table import TableScreen
from redbeat_tui.text.sanitize import clean
from redbeat_tui.widgets.entry_table import EntryTable
from redbeat_tui.widgets.field import Field
from redbeat_tui.widgets.header import ConsoleHeader
from redbeat_tui.widgets.header_facts import header_facts
from redbeat_tui.widgets.key_bar import KeyBar

from .config import Options, use_timezone
from .console import HeaderOutdated
from .feed import Feed
from .terminal import ConsoleDriver, crash_text, ending_on_signals, secrets_of
from .theme import THEMES, status_colour, theme_name
from .threads import in_thread

T = TypeVar("T")

#: Seconds between two drains of the feed, and between two ticks of the clock.
DRAIN = 0.2
TICK = 1.0
#: From this many rows on they are counted in a thread.
MANY = 2000


class ConsoleApp(App[int]):
    """The console. Its exit code is 0 when the operator left it by a key, 128 plus the number of a
    signal that ended it, 1 after a crash, whose text is then in :attr:`crash`."""

    CSS_PATH = "styles/console.tcss"
    TITLE = "redbeat"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings()]
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    NOTIFICATION_TIMEOUT = 6

    def __init__(
        self,
        options: Options,
        store: ScheduleStore,
        operations: Operations,
        *,
        model: Model | None = None,
        feed: Feed | None = None,
        trouble: Callable[[], list[str]] | None = None,
    ) -> None:
        """:param trouble: called once a second; the console shows each returned text once."""
        ansi = options.theme == "ansi" or "NO_COLOR" in os.environ
        # Textual decides here, before a theme is set, how to leave colours out.
        super().__init__(driver_class=ConsoleDriver, ansi_color=ansi or None)
        self.options = options
        self.store = store
        self.operations = operations
        self.model = model if model is not None else Model(time.time, options.app)
        self.feed = feed if feed is not None else self._new_feed()
        self.requests = RunActivity(self)
        self.tally = Tally()
        self.table_screen = TableScreen()
        self.zone: tzinfo = ZoneInfo(options.timezone) if options.timezone else UTC
        self.crash = ""
        self._server = safe_url(options.url)
        self._asking: object = None
        self._counting = False
        self._reading = False
        self._trouble = trouble
        self._troubles_shown = 0
        self.animation_level = "none"
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = theme_name(options.theme, no_color=self.no_color)

    def _new_feed(self) -> Feed:
        return Feed(self.store, self.model, url=self.options.url)

    # Life

    async def on_mount(self) -> None:
        await self.push_screen(self.table_screen)
        self.feed.start()
        self.set_interval(DRAIN, self.drain)
        self.set_interval(TICK, self._tick)
        self.show_facts()

    async def run_async(self, **options: Any) -> int | None:
        """Run until the operator leaves the console, or a signal ends it."""
        with ending_on_signals(self._ended_by):
            try:
                return await super().run_async(**options)
            finally:
                self.feed.stop(timeout=0.2)

    def _ended_by(self, number: int) -> None:
        self.exit(128 + number, return_code=128 + number)

    def _handle_exception(self, error: Exception) -> None:
        # Runs before Textual's own handling, which prints all local variables.
        self.crash = self.crash or crash_text(error, secrets_of(self.options.url))
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        self._close_messages_no_wait()

    def panic(self, *renderables: Any) -> None:
        """End the app; :attr:`crash` holds the text of the error."""
        self._close_messages_no_wait()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Show the error of a failed worker as a sentence; the app goes on."""
        if event.state is WorkerState.ERROR and isinstance(event.worker.error, Exception):
            self.complain(self.sentence(event.worker.error))

    def status_style(self, status: str) -> str:
        """Return the Rich style of *status*."""
        return "" if self.no_color else status_colour(self.current_theme, status)

    # Following the schedule

    def drain(self) -> None:
        """Apply the items that the feed has received."""
        if isinstance(self._driver, ConsoleDriver) and self._driver.lost:
            self.exit(129, return_code=129)
        elif self.is_running and (delta := self.feed.drain()):
            self._follow(delta)

    def _follow(self, delta: Delta) -> None:
        if delta.all or self.model.link.state == "disconnected":
            self._reading = False
        self._count(delta)
        if delta.events:
            self.requests.apply_events()
        for screen in self.screen_stack:
            if isinstance(screen, TableScreen | DetailScreen) and screen.is_mounted:
                screen.follow(delta)
        self.show_facts()

    def _tick(self) -> None:
        if not self.is_running:
            return  # Textual is taking the screens down.
        self._take_zone()
        for screen in self.screen_stack:
            if isinstance(screen, TableScreen | DetailScreen) and screen.is_mounted:
                screen.tick()
        self.requests.age()
        self._show_trouble()
        self.show_facts()

    def _count(self, delta: Delta) -> None:
        if not delta.all:
            self.tally.update(self.model.rows, delta)
        elif len(self.model.rows) < MANY:
            self.tally.reset(count(self.model.rows))
        elif not self._counting:
            self._counting = True
            self.run_worker(self._count_in_thread(), exit_on_error=False, group="count")

    async def _count_in_thread(self) -> None:
        try:
            rows = dict(self.model.rows)
            self.tally.reset(await in_thread(lambda: count(rows)))
            current = self.model.rows
            changed = [name for name, row in current.items() if rows.get(name) is not row]
            self.tally.recount(current, [*changed, *(rows.keys() - current.keys())])
        finally:
            self._counting = False
        self.show_facts()

    def _show_trouble(self) -> None:
        texts = self._trouble() if self._trouble else []
        for text in texts[self._troubles_shown :]:
            self.complain(f"{text[:1].upper()}{text[1:]}. Leave the console to read why.")
        self._troubles_shown = len(texts)

    def _take_zone(self) -> None:
        """Use the leader's time zone for times and crontabs, unless the options name one."""
        leader = self.feed.health.leader if self.feed.health is not None else None
        if self.options.timezone or leader is None or not leader.timezone:
            return
        if leader.timezone == str(self.zone):
            return
        zone = use_timezone(self.options, leader.timezone)
        if zone is None:
            return
        self.zone = self.table_screen.table.zone = zone
        self.table_screen.table.refresh()

    def show_facts(self) -> None:
        """Update the header and the key bar."""
        listing = self.table_screen.listing
        facts = header_facts(
            self.model,
            self.feed.trusted_health,
            server=self._server,
            zone=self.zone,
            read_only=self.options.read_only,
            shown=len(listing),
            filter_text=listing.filter.text,
            filter_error=listing.filter.error or "",
            troubles=self.tally.troubles(self.judged),
            asked=self.feed.health is not None,
        )
        for screen in self.screen_stack:
            for header in screen.query(ConsoleHeader):
                header.facts = facts
        self._show_keys()

    def _show_keys(self) -> None:
        row = self.selected_row()
        paused = row is not None and row.status == "paused"
        inside = isinstance(self.screen, DetailScreen)
        keys = bar_keys(inside=inside, paused=paused, read_only=self.options.read_only)
        for bar in self.screen.query(KeyBar):
            bar.show(keys)

    def on_header_outdated(self, event: HeaderOutdated) -> None:
        """A screen changed what the header shows."""
        event.stop()
        self.show_facts()

    def show_event(self, event: Event) -> None:
        """Show *event* on the activity line."""
        self.table_screen.activity.show_event(event, self.zone)

    def show_run(self, run: Run) -> None:
        """Show on the activity line how a run that was asked for here goes on."""
        self.table_screen.activity.show_run(run, self.zone)

    def follow_run(self, trigger: str, name: str) -> None:
        """Show how the run goes on that was just asked for."""
        self.requests.follow(trigger, name)

    def read_again(self) -> None:
        """Start from a new snapshot, unless one is being read already: each takes memory."""
        if self._reading or self.model.link.state in ("connecting", "catching-up"):
            self.say("The whole schedule is being read already.")
            return
        self._reading = True
        self.feed.stop(timeout=0)
        self.feed = self._new_feed()
        self.feed.start()
        self.say("Reading the whole schedule again.")

    @property
    def leader_missing(self) -> bool:
        """Whether the health says that no beat leads."""
        health = self.feed.trusted_health
        return health is not None and health.leader is None

    @property
    def live(self) -> bool:
        """Whether the rows are up to date with Redis, and Redis answers."""
        return self.model.live and not self.feed.silent

    @property
    def judged(self) -> float | None:
        """The present for deciding which entries are late; None while not live."""
        return self.model.now() if self.live else None

    # Acting

    def selected_row(self) -> Row | None:
        """Return the entry that an action applies to; None when there is none."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, TableScreen | DetailScreen):
                return screen.row if screen.is_mounted else None
        return None

    def on_entry_table_selected(self, event: EntryTable.Selected) -> None:
        """Enter in the table."""
        event.stop()
        self.action_perform("show")

    def open_filter(self) -> None:
        """Let the operator type a filter."""
        self.table_screen.open_filter()

    def clear_filter(self) -> bool:
        """Show all entries again; returns whether there was a filter."""
        return self.table_screen.clear_filter()

    def next_sort(self) -> None:
        """Sort the table by the next column."""
        self.table_screen.next_sort()

    def open_help(self) -> None:
        """Show every action with its keys."""
        self.push_screen(HelpScreen(ACTIONS.values(), read_only=self.options.read_only))

    def action_perform(self, name: str) -> None:
        """Perform the action *name* of the registry, or say why it is refused."""
        action = ACTIONS[name]
        if self._occupied and (name != "quit" or isinstance(self.screen, DetailScreen)):
            return
        has_entry = self.selected_row() is not None
        why = refusal(action, read_only=self.options.read_only, has_entry=has_entry)
        if why is not None:
            self.say(why, "warning")
            return
        running = action.handler(self)
        if inspect.iscoroutine(running):
            # Set now and not when the dialog opens: several keys may have arrived at once.
            self._asking = running
            self.run_worker(self._perform(running), exit_on_error=False, group="verbs")

    @property
    def _occupied(self) -> bool:
        """Whether a dialog is open, or about to open: the operator pressed the key before it."""
        return self._asking is not None or isinstance(self.screen, ModalScreen)

    async def _perform(self, running: Awaitable[None]) -> None:
        try:
            await running
        finally:
            if self._asking is running:
                self._asking = None

    async def on_event(self, event: events.Event) -> None:
        # A letter that comes back here while a field has the focus was typed right after the key
        # that opened the field, and belongs to it.
        field = self.focused if isinstance(event, events.Key) and event.is_forwarded else None
        if isinstance(event, events.Key) and isinstance(field, Field) and event.is_printable:
            field.post_message(events.Key(event.key, event.character))
            return
        await super().on_event(event)

    async def ask(self, dialog: ModalScreen[Any]) -> object:
        """Show *dialog* and return its answer; None when another dialog is open."""
        if isinstance(self.screen, ModalScreen):
            return None
        try:
            return await self.push_screen_wait(dialog)
        finally:
            self._asking = None

    def call(self, call: Callable[[], T]) -> Awaitable[T]:
        """Run *call*, which may wait for Redis, in a thread."""
        return in_thread(call)

    def sentence(self, error: Exception) -> str:
        """Return *error* as a sentence without secrets."""
        if isinstance(error, OperationError):
            return str(error)
        return str(explain(error, self.options.url))

    def say(self, text: str, severity: Any = "information") -> None:
        """Show *text* for a few seconds, in place of the message before."""
        self.notify(clean(text, limit=500), severity=severity, markup=False)

    def complain(self, text: str) -> None:
        """Show an error for longer than :meth:`say` does."""
        self.notify(clean(text, limit=800), severity="error", timeout=12, markup=False)

    def on_notify(self) -> None:
        """Keep only the last message, because messages cover the screen."""
        self.clear_notifications()

    def clear_notifications(self) -> None:
        """Remove the messages and their containers, which would push the next ones down."""
        super().clear_notifications()
        for screen in self.screen_stack:
            screen.query("ToastRack > *").remove()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Return the commands of the palette, from the same registry."""
        for title, text, name in palette_entries():
            yield SystemCommand(title, text, partial(self.action_perform, name))
