"""The handlers of the actions: each asks where it must, writes through the operations, and reports
the result.

The registry in ``actions.py`` refers to them; each takes the app. Those that wait are coroutines,
which the app runs as workers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.app import SuspendNotSupported

from redbeat_core.operations import ConflictError, NotFoundError
from redbeat_core.record import EntryRecord, EntryView, decode_record

from .format import ago, countdown, timestamp
from .preview import Preview, repairable
from .requests import WAITS
from .run_now import TypedWrongError, fields_of, overrides
from .sanitize import clean
from .screens.ask import Answer, AskScreen, Question
from .screens.conflict import ConflictScreen
from .screens.detail import DetailScreen
from .screens.edit import EditScreen
from .screens.help import HelpScreen

if TYPE_CHECKING:
    from .app import ConsoleApp


def short(name: str) -> str:
    """Return an entry's name, sanitized and short enough for a sentence."""
    return clean(name, limit=60)


# Entry


def show(app: ConsoleApp) -> None:
    """Open the detail of the entry under the cursor."""
    row = app.selected_row()
    if row is not None and not isinstance(app.screen, DetailScreen):
        app.push_screen(DetailScreen(row))


async def pause_or_resume(app: ConsoleApp) -> None:
    """Pause the entry, or resume it when it is paused."""
    view = _view(app)
    if view is None:
        return
    if view.schedule is None:
        _say_invalid(app, view, ", so there is nothing to pause")
        return
    pausing = view.pause is None
    answer = await app.ask(AskScreen(_pause_question(view) if pausing else _resume(app, view)))
    if not isinstance(answer, Answer):
        return
    verb = app.operations.pause if pausing else app.operations.resume

    def write(version: str) -> object:
        return verb(view.name, version=version, note=answer.note)

    if await _write(app, view, write, "Pause anyway" if pausing else "Resume anyway"):
        app.say(f"{short(view.name)} is {'paused' if pausing else 'resumed'}.")


def _pause_question(view: EntryView) -> Question:
    return Question(
        "Pause",
        view.name,
        (("task", view.task or "-"),),
        "It will not run by its schedule until somebody resumes it.",
        "Pause",
        enter=True,
    )


def _resume(app: ConsoleApp, view: EntryView) -> Question:
    assert view.pause is not None
    when = f", {ago(view.pause.at.timestamp(), app.model.now())}" if view.pause.at else ""
    facts = [("paused", f"by {view.pause.by or 'somebody'}{when}")]
    if view.pause.note:
        facts.append(("because", view.pause.note))
    return Question(
        "Resume",
        view.name,
        tuple(facts),
        "It will run by its schedule again.",
        "Resume",
        enter=True,
    )


async def trigger(app: ConsoleApp) -> None:
    """Request one run of the entry now, and follow that run."""
    view = _view(app)
    if view is None:
        return
    if view.schedule is None:
        _say_invalid(app, view, " and cannot run, not even on request")
        return
    facts = [("task", view.task or "-")]
    if view.next_run_at is not None and view.pause is None:
        due = countdown(view.next_run_at.timestamp(), app.model.now())
        facts.append(("next run", f"{timestamp(view.next_run_at, app.zone)}  {due}"))
    text = "It runs once now; its schedule stays as it is."
    if view.pause is not None:
        text = "It is paused, and stays so; this one run is made all the same."
    if app.leader_missing:
        text += f" No beat leads now. {WAITS}"
    offered = fields_of(view)

    def check(typed: Mapping[str, str]) -> str:
        try:
            overrides(offered, typed)
        except TypedWrongError as exc:
            return str(exc)
        return ""

    fields = tuple((field.key, field.text, field.hint) for field in offered)
    question = Question(
        "Run now", view.name, tuple(facts), text, "Run now", fields=fields, check=check
    )
    answer = await app.ask(AskScreen(question))
    if not isinstance(answer, Answer):
        return
    values = overrides(offered, answer.typed)
    trigger_ids: list[str] = []

    def write(version: str) -> object:
        request = partial(app.operations.trigger, view.name, version=version, note=answer.note)
        trigger_ids.append(request(**values))
        return trigger_ids

    if await _write(app, view, write, "Run anyway"):
        app.requests.follow(trigger_ids[-1], view.name)


async def edit(app: ConsoleApp) -> None:
    """Edit the schedule."""
    row = app.selected_row()
    if row is None:
        return
    view = row.view
    if not repairable(row.record):
        _say_invalid(app, view, ", and another schedule would not repair it")
        return

    async def save(result: Preview, note: str, seen: EntryView) -> str:
        return await _save(app, result, note, seen)

    screen = EditScreen(view, app.options.app, app.zone, app.model.now, save)
    await app.ask(screen)


def _say_invalid(app: ConsoleApp, view: EntryView, consequence: str) -> None:
    """Refuse an action on an invalid entry, before a dialog opens."""
    app.say(f"{clean(view.name, 30)} is invalid{consequence}: ⏎ shows why.", "warning")


async def _save(app: ConsoleApp, result: Preview, note: str, seen: EntryView) -> str:
    """Write an edited schedule; return why it was not saved, or an empty text."""
    schedule = result.schedule
    assert schedule is not None
    gone = "Not saved: somebody deleted the entry. Your text is kept."
    view = seen
    while True:
        edit_schedule = partial(app.operations.edit_schedule, version=view.version, note=note)
        try:
            _show_written(app, await app.call(partial(edit_schedule, seen.name, schedule)))
        except ConflictError as exc:
            if exc.current is None:
                return gone
            current = decode_record(exc.current, app.options.app)
            anyway = "Save mine anyway"
            if not await app.push_screen_wait(ConflictScreen(view, current, anyway, result.text)):
                return "Not saved: somebody else changed it. Your text is kept."
            view = current
        except NotFoundError:
            return gone
        except Exception as exc:
            return app.sentence(exc)
        else:
            app.say(f"{short(seen.name)} is saved: {clean(result.words, 100)}.")
            return ""


async def delete(app: ConsoleApp) -> None:
    """Delete the entry."""
    row = app.selected_row()
    if row is None:
        return
    view = row.view
    facts = [("task", view.task or "-")]
    if row.facts.schedule:
        facts.append(("schedule", row.facts.schedule))
    question = Question(
        "Delete",
        view.name,
        tuple(facts),
        "This cannot be undone. An entry that comes from the code's beat_schedule is back when "
        "beat starts again.",
        "Delete",
        danger=True,
    )
    answer = await app.ask(AskScreen(question))
    if not isinstance(answer, Answer):
        return

    def write(version: str) -> object:
        app.operations.delete(view.name, version=version, note=answer.note)
        return True

    if await _write(app, view, write, "Delete anyway"):
        app.say(f"{short(view.name)} is deleted.")


async def _write(
    app: ConsoleApp, view: EntryView, write: Callable[[str], Any], anyway: str
) -> bool:
    """Write on the version that the operator saw; on a conflict show both versions and ask again.

    :param write: takes the version, and writes.
    :param anyway: the label of the button that writes in spite of the conflict.
    :returns: whether the change was written.
    """
    while True:
        try:
            _show_written(app, await app.call(partial(write, view.version)))
        except ConflictError as exc:
            if exc.current is None:
                app.complain(str(exc))
                return False
            current = decode_record(exc.current, app.options.app)
            if not await app.push_screen_wait(ConflictScreen(view, current, anyway)):
                return False
            view = current
        except Exception as exc:
            app.complain(app.sentence(exc))
            return False
        else:
            return True


def _show_written(app: ConsoleApp, written: object) -> None:
    """Show a written entry at once, because the next key may act on it."""
    if isinstance(written, EntryRecord):
        app.feed.tell(written)
        app.drain()


def _view(app: ConsoleApp) -> EntryView | None:
    row = app.selected_row()
    return row.view if row is not None else None


# View


def open_filter(app: ConsoleApp) -> None:
    """Open the field of the filter."""
    if isinstance(app.screen, DetailScreen):
        app.say("The filter is for the table: press esc to go back to it.", "warning")
    else:
        app.table_screen.open_filter()


def next_sort(app: ConsoleApp) -> None:
    """Sort the table by the next order."""
    if isinstance(app.screen, DetailScreen):
        app.say("Sorting is for the table: press esc to go back to it.", "warning")
    else:
        app.table_screen.next_sort()


def refresh(app: ConsoleApp) -> None:
    """Read the whole schedule again."""
    app.read_again()


def back(app: ConsoleApp) -> None:
    """Leave the detail, or clear the filter."""
    if isinstance(app.screen, DetailScreen):
        app.pop_screen()
    elif not app.table_screen.clear_filter():
        app.say("There is nothing to leave here; q leaves the console.")


# Console


def show_help(app: ConsoleApp) -> None:
    """Open the help."""
    from .actions import ACTIONS

    app.push_screen(HelpScreen(ACTIONS.values(), read_only=app.options.read_only))


def open_palette(app: ConsoleApp) -> None:
    """Open the palette, which finds an action by name."""
    app.action_command_palette()


def suspend(app: ConsoleApp) -> None:
    """Suspend the console, and return to the shell."""
    try:
        app.action_suspend_process()
    except SuspendNotSupported:
        app.say("This terminal cannot suspend the console.", "warning")


def leave(app: ConsoleApp) -> None:
    """Leave the detail, or the console."""
    if isinstance(app.screen, DetailScreen):
        app.pop_screen()
    else:
        app.exit(0)
