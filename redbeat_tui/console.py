"""Console: the part of the app that handlers and screens may use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import tzinfo
from typing import Any, Protocol, TypeVar, cast

from textual.message import Message
from textual.screen import Screen

from redbeat_core.events import Event
from redbeat_core.operations import Operations
from redbeat_tui.live.model import Model
from redbeat_tui.live.requested_runs import Run
from redbeat_tui.live.row import Row

from .config import Options
from .feed import Feed

T = TypeVar("T")


class HeaderOutdated(Message):
    """A screen changed something that the header or the key bar shows."""


class Console(Protocol):
    """The console, as its parts see it.

    :ivar zone: the time zone in which times are shown.
    """

    options: Options
    operations: Operations
    model: Model
    feed: Feed
    zone: tzinfo

    @property
    def screen(self) -> Screen[Any]:
        """The screen on top."""

    @property
    def live(self) -> bool:
        """Whether what the rows say is how things are, as far as anybody can know."""

    @property
    def judged(self) -> float | None:
        """The time at which lateness is judged; None: nothing is called late while not live."""

    @property
    def leader_missing(self) -> bool:
        """Whether the health says that no beat leads."""

    def selected_row(self) -> Row | None:
        """The entry that an action is about."""

    def status_style(self, status: str) -> str:
        """The style that Rich draws *status* in."""

    # Saying something

    def say(self, text: str, severity: Any = "information") -> None:
        """Say *text* for a few seconds, in the place of what was said before."""

    def complain(self, text: str) -> None:
        """Say what went wrong, for longer."""

    def sentence(self, error: Exception) -> str:
        """Describe *error* in a sentence without secrets."""

    # Screens

    def push_screen(self, screen: Screen[Any], /) -> Any:
        """Put *screen* on top."""

    def push_screen_wait(self, screen: Screen[Any], /) -> Any:
        """Put *screen* on top and wait for its answer."""

    def pop_screen(self) -> Any:
        """Leave the screen on top."""

    async def ask(self, dialog: Any) -> object:
        """Show *dialog* and wait for its answer; None where another one is open."""

    def open_filter(self) -> None:
        """Let the operator type a filter."""

    def clear_filter(self) -> bool:
        """Show all entries again; returns whether there was a filter."""

    def next_sort(self) -> None:
        """Sort the table by the next column."""

    def open_help(self) -> None:
        """Show every action with its keys."""

    def show_event(self, event: Event) -> None:
        """Show *event* on the activity line."""

    def show_run(self, run: Run) -> None:
        """Show on the activity line how a run that was asked for here goes on."""

    # Work

    def call(self, call: Callable[[], T], /) -> Awaitable[T]:
        """Call something that waits for Redis, in a thread."""

    def drain(self) -> None:
        """Apply what the feed has brought."""

    def read_again(self) -> None:
        """Follow the schedule from a new snapshot."""

    def follow_run(self, trigger: str, name: str) -> None:
        """Show how the run goes on that was just asked for."""

    def exit(self, result: int | None = None) -> None:
        """Leave the console."""

    def action_command_palette(self) -> None:
        """Find an action by name."""

    def action_suspend_process(self) -> None:
        """Back to the shell for a moment."""


def console_of(screen: Screen[Any]) -> Console:
    """The console that *screen* belongs to."""
    return cast(Console, screen.app)
