"""The handlers of the actions: each asks where it must, writes through the operations, and reports
the result.

The registry in ``registry.py`` refers to them; each takes the console. Those that wait are
coroutines, which the console runs as workers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from textual.app import SuspendNotSupported

from redbeat_core.entries.record import EntryRecord
from redbeat_core.entries.view import EntryView, decode_record
from redbeat_core.operations import ConflictError, NotFoundError
from redbeat_tui.console import Console
from redbeat_tui.screens.ask import Answer, AskScreen, Question
from redbeat_tui.screens.conflict import ConflictScreen
from redbeat_tui.screens.detail import DetailScreen
from redbeat_tui.screens.edit import EditScreen
from redbeat_tui.screens.run_activity import WAITS
from redbeat_tui.text.format import ago, countdown, timestamp
from redbeat_tui.text.sanitize import clean
from redbeat_tui.text.schedule_preview import Preview, repairable
from redbeat_tui.text.trigger_form import TypedWrongError, fields_of, overrides


def short(name: str) -> str:
    """Return an entry's name, sanitized and short enough for a sentence."""
    return clean(name, limit=60)


# Entry


def show(console: Console) -> None:
    """Open the detail of the entry under the cursor."""
    row = console.selected_row()
    if row is not None and not isinstance(console.screen, DetailScreen):
        console.push_screen(DetailScreen(row))


async def pause_or_resume(console: Console) -> None:
    """Pause the entry, or resume it when it is paused."""
    view = _view(console)
    if view is None:
        return
    if view.schedule is None:
        _say_invalid(console, view, ", so there is nothing to pause")
        return
    pausing = view.pause is None
    answer = await console.ask(
        AskScreen(_pause_question(view) if pausing else _resume_question(console, view))
    )
    if not isinstance(answer, Answer):
        return
    verb = console.operations.pause if pausing else console.operations.resume

    def write(version: str) -> object:
        return verb(view.name, version=version, note=answer.note)

    if await _write(console, view, write, "Pause anyway" if pausing else "Resume anyway"):
        console.say(f"{short(view.name)} is {'paused' if pausing else 'resumed'}.")


def _pause_question(view: EntryView) -> Question:
    return Question(
        "Pause",
        view.name,
        (("task", view.task or "-"),),
        "It will not run by its schedule until somebody resumes it.",
        "Pause",
        enter=True,
    )


def _resume_question(console: Console, view: EntryView) -> Question:
    assert view.pause is not None
    when = f", {ago(view.pause.at.timestamp(), console.model.now())}" if view.pause.at else ""
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


async def trigger(console: Console) -> None:
    """Request one run of the entry now, and follow that run."""
    view = _view(console)
    if view is None:
        return
    if view.schedule is None:
        _say_invalid(console, view, " and cannot run, not even on request")
        return
    facts = [("task", view.task or "-")]
    if view.next_run_at is not None and view.pause is None:
        due = countdown(view.next_run_at.timestamp(), console.model.now())
        facts.append(("next run", f"{timestamp(view.next_run_at, console.zone)}  {due}"))
    text = "It runs once now; its schedule stays as it is."
    if view.pause is not None:
        text = "It is paused, and stays so; this one run is made all the same."
    if console.leader_missing:
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
    answer = await console.ask(AskScreen(question))
    if not isinstance(answer, Answer):
        return
    values = overrides(offered, answer.typed)
    trigger_ids: list[str] = []

    def write(version: str) -> object:
        request = partial(console.operations.trigger, view.name, version=version, note=answer.note)
        trigger_ids.append(request(**values))
        return trigger_ids

    if await _write(console, view, write, "Run anyway"):
        console.follow_run(trigger_ids[-1], view.name)


async def edit(console: Console) -> None:
    """Edit the schedule."""
    row = console.selected_row()
    if row is None:
        return
    view = row.view
    if not repairable(row.record):
        _say_invalid(console, view, ", and another schedule would not repair it")
        return

    async def save(result: Preview, note: str, seen: EntryView) -> str:
        return await _save(console, result, note, seen)

    screen = EditScreen(view, console.options.app, console.zone, console.model.now, save)
    await console.ask(screen)


def _say_invalid(console: Console, view: EntryView, consequence: str) -> None:
    """Refuse an action on an invalid entry, before a dialog opens."""
    console.say(f"{clean(view.name, 30)} is invalid{consequence}: ⏎ shows why.", "warning")


async def _save(console: Console, result: Preview, note: str, seen: EntryView) -> str:
    """Write an edited schedule; return why it was not saved, or an empty text."""
    schedule = result.schedule
    assert schedule is not None
    gone = "Not saved: somebody deleted the entry. Your text is kept."
    view = seen
    while True:
        edit_schedule = partial(console.operations.edit_schedule, version=view.version, note=note)
        try:
            _show_written(console, await console.call(partial(edit_schedule, seen.name, schedule)))
        except ConflictError as exc:
            if exc.current is None:
                return gone
            current = decode_record(exc.current, console.options.app)
            anyway = "Save mine anyway"
            if not await console.push_screen_wait(
                ConflictScreen(view, current, anyway, result.text)
            ):
                return "Not saved: somebody else changed it. Your text is kept."
            view = current
        except NotFoundError:
            return gone
        except Exception as exc:
            return console.sentence(exc)
        else:
            console.say(f"{short(seen.name)} is saved: {clean(result.words, 100)}.")
            return ""


async def delete(console: Console) -> None:
    """Delete the entry."""
    row = console.selected_row()
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
    answer = await console.ask(AskScreen(question))
    if not isinstance(answer, Answer):
        return

    def write(version: str) -> object:
        console.operations.delete(view.name, version=version, note=answer.note)
        return True

    if await _write(console, view, write, "Delete anyway"):
        console.say(f"{short(view.name)} is deleted.")


async def _write(
    console: Console, view: EntryView, write: Callable[[str], Any], anyway: str
) -> bool:
    """Write on the version that the operator saw; on a conflict show both versions and ask again.

    :param write: takes the version, and writes.
    :param anyway: the label of the button that writes in spite of the conflict.
    :returns: whether the change was written.
    """
    while True:
        try:
            _show_written(console, await console.call(partial(write, view.version)))
        except ConflictError as exc:
            if exc.current is None:
                console.complain(str(exc))
                return False
            current = decode_record(exc.current, console.options.app)
            if not await console.push_screen_wait(ConflictScreen(view, current, anyway)):
                return False
            view = current
        except Exception as exc:
            console.complain(console.sentence(exc))
            return False
        else:
            return True


def _show_written(console: Console, written: object) -> None:
    """Show a written entry at once, because the next key may act on it."""
    if isinstance(written, EntryRecord):
        console.feed.apply_own_change(written)
        console.drain()


def _view(console: Console) -> EntryView | None:
    row = console.selected_row()
    return row.view if row is not None else None


# View


def open_filter(console: Console) -> None:
    """Open the field of the filter."""
    if isinstance(console.screen, DetailScreen):
        console.say("The filter is for the table: press esc to go back to it.", "warning")
    else:
        console.open_filter()


def next_sort(console: Console) -> None:
    """Sort the table by the next order."""
    if isinstance(console.screen, DetailScreen):
        console.say("Sorting is for the table: press esc to go back to it.", "warning")
    else:
        console.next_sort()


def refresh(console: Console) -> None:
    """Read the whole schedule again."""
    console.read_again()


def back(console: Console) -> None:
    """Leave the detail, or clear the filter."""
    if isinstance(console.screen, DetailScreen):
        console.pop_screen()
    elif not console.clear_filter():
        console.say("There is nothing to leave here; q leaves the console.")


# Console


def show_help(console: Console) -> None:
    """Open the help."""
    console.open_help()


def open_palette(console: Console) -> None:
    """Open the palette, which finds an action by name."""
    console.action_command_palette()


def suspend(console: Console) -> None:
    """Suspend the console, and return to the shell."""
    try:
        console.action_suspend_process()
    except SuspendNotSupported:
        console.say("This terminal cannot suspend the console.", "warning")


def leave(console: Console) -> None:
    """Leave the detail, or the console."""
    if isinstance(console.screen, DetailScreen):
        console.pop_screen()
    else:
        console.exit(0)
