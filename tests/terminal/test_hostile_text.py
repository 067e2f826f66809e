"""Hostile text in Redis neither crashes the console nor reaches the terminal unsanitized."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from redbeat_core.operations import Operations
from redbeat_core.storage.schedule_store import ScheduleStore
from redbeat_tui.cli import change, cli, show
from tests.support.processes import clean_environment
from tests.support.terminal import Terminal
from tests.support.waiting import wait_for

from .conftest import Add, Open

#: Label -> a text that is dangerous or awkward in its own way.
HOSTILE = {
    "escape": "\x1b[2J\x1b[31mred",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "title": "\x1b]0;owned\x1b\\",
    "c1": "\x9b2J\x9d52;c;ZXZpbA==\x9c",
    "bidi": "\u202egnp.exe\u2066x\u2069",
    "markup": "[/nope] [bold red]x[/] [@click=app.bell]y[/]",
    "long": "x" * 10_000,
    "right-to-left": "שלום עולם مرحبا",
    "wide": "定期レポート送信🎉👩‍👩‍👧‍👦",
    "newlines": "a\nb\r\nc\td\x0be\x00",
    "marks": "z" + "\u0300" * 200,
    "zero-width": "a\u200bb\ufeffc\u00add",
    "backspace": "safe\x08\x08\x08\x08evil\x7f",
    "spaces": " leading and trailing ",
    "quotes": 'it\'s "quoted" \\ / % {} $HOME',
    "colons": "a:b:c/d",
}
#: Label -> the definition of an invalid entry.
BROKEN = {
    **{label: HOSTILE[label] for label in ("escape", "clipboard", "c1", "markup", "newlines")},
    "long": HOSTILE["long"],
    "bytes": "caf\udce9",
}
#: Sequences that no text may bring to the terminal. Textual's own output has colours, cursor
#: positions and modes, and no operating system command.
FORBIDDEN = re.compile(
    rb"\x1b\]|\x1bP|\x1b_|\x1b\^|\x07|\x1b\[2J|\x08|\x00"
    rb"|\xc2[\x80-\x9f]"  # C1 in UTF-8
    rb"|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]"  # bidi controls
)


#: The shape of the mouse pointer, the one such command that Textual itself sends.
POINTER = re.compile(rb"\x1b\]22;[a-z-]*\x07")
#: A text that only a dialog shows.
NOTE = "optional, everybody sees it"
SIGNS = ("esc back", NOTE, "shows")  # one word: a message may wrap anywhere else


def assert_harmless(output: bytes) -> None:
    output = POINTER.sub(b"", output)
    match = FORBIDDEN.search(output)
    assert match is None, output[max(0, match.start() - 80) : match.end() + 80]
    for marker in (b"owned", b"ZXZpbA"):
        for place in re.finditer(marker, output):
            before = output[max(0, place.start() - 12) : place.start()]
            assert b"\x1b]" not in before


def together() -> dict[str, str]:
    """The same texts in fewer entries, for a test that takes long with each."""
    short = [text for label, text in HOSTILE.items() if label != "long"]
    mixed = {f"mixed {start}": "".join(short[start::4]) for start in range(4)}
    return {**mixed, "long": HOSTILE["long"]}


def fill(store: ScheduleStore, add: Add, texts: Mapping[str, str] = HOSTILE) -> None:
    """Write one entry for each text, which is in its name, task, arguments, note and error."""
    now = time.time()
    for label, text in texts.items():
        name = f"{label} {text}"
        add(name, f"shop.{text}", args=[text], kwargs={"k": text})
        key = store.keys.entry(name)
        outcome = {"status": "errored", "at": now, "error": f"ValueError: {text}", "worker": text}
        fields = {"outcome": json.dumps(outcome)}
        if label in ("escape", "clipboard", "c1", "bidi", "mixed 0", "mixed 1"):
            fields["state"] = json.dumps({"paused": {"by": text, "at": now, "note": text}})
        store.client.hset(key, mapping=fields)
    for label, text in BROKEN.items():
        name = f"broken {label} {text}"
        store.client.hset(store.keys.entry(name), "definition", '{"name": "' + text)
        store.client.zadd(store.keys.schedule, {store.keys.entry(name): now})


def gone(terminal: Terminal, text: str) -> None:
    wait_for(lambda: text not in terminal.text, what=f"the end of {text!r}")


@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
def test_hostile_text_is_shown_harmlessly_on_every_screen(
    console: Open, add: Add, store: ScheduleStore, size: tuple[int, int]
) -> None:
    fill(store, add, together())
    columns, lines = size
    terminal: Terminal = console(columns=columns, lines=lines)
    terminal.wait_for_text("live")
    terminal.wait_for_text("broken")
    for _ in range(len(together()) + 2):
        for key in "\rpted":
            # A dialog or the detail; for an invalid entry, why there is no dialog.
            terminal.press(key)
            wait_for(lambda: any(sign in terminal.text for sign in SIGNS), what=f"{key!r}")
            terminal.press("\x1b")
            for sign in SIGNS:
                gone(terminal, sign)
        terminal.press("j")
    terminal.press("/")
    terminal.wait_for_text("status:failed")
    terminal.press("\x1b[200~a\r\nb\u202ec\x9bd\x1b[201~")
    terminal.wait_for_text("No entry matches")
    terminal.press("\x1b")
    gone(terminal, "No entry matches")
    terminal.press("q")
    assert terminal.wait() == 0
    assert_harmless(terminal.output)


def test_events_of_hostile_entries_are_shown_harmlessly(
    console: Open, add: Add, store: ScheduleStore
) -> None:
    fill(store, add)
    terminal: Terminal = console()
    terminal.wait_for_text("live")
    for label in ("escape", "clipboard", "c1", "bidi", "markup", "newlines"):
        text = HOSTILE[label]
        operations = Operations(store, actor=text)
        operations.trigger(f"{label} {text}", note=text)
        terminal.wait_for_text("run requested by")
        operations.delete(f"{label} {text}", note=text)
        terminal.wait_for_text("deleted by")
    terminal.press("q")
    assert terminal.wait() == 0
    assert_harmless(terminal.output)


def test_the_command_line_shows_hostile_text_harmlessly(
    url: str, add: Add, store: ScheduleStore, tmp_path: Path
) -> None:
    texts = together()
    fill(store, add, texts)

    def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "redbeat_tui", "--url", url, *arguments],
            cwd=tmp_path,
            env=clean_environment(),
            capture_output=True,
            check=False,
        )

    listed = run("list")
    assert listed.returncode == 0, listed.stderr
    assert_harmless(listed.stdout)
    assert len(listed.stdout.splitlines()) == 1 + len(texts) + len(BROKEN)
    as_json = run("list", "--json")
    assert_harmless(as_json.stdout)
    names = {entry["name"] for entry in json.loads(as_json.stdout)}
    assert {f"{label} {text}" for label, text in texts.items()} <= names
    # The other commands in this process: starting it so often would take half a minute.
    for module in (show, change):
        module.register(cli)
    for label, text in texts.items():
        name = f"{label} {text}"
        if "\x00" in name:
            continue  # no argument of a program can hold it
        for arguments in (("show",), ("show", "--json"), ("pause", "--note", text), ("delete",)):
            done = CliRunner().invoke(cli, ["--url", url, *arguments, "--", name])
            assert_harmless(done.stdout_bytes + done.stderr_bytes)
            assert done.exit_code == (1 if arguments == ("delete",) else 0), done.stderr
