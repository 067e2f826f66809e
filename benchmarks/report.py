"""docs/benchmarks.md and its plot, from the figures of a run; for ``python -m benchmarks``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import plot
from benchmarks.peers import OURS, THEIRS, Row, shown
from benchmarks.scale import EVERY_SECOND

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PICTURE = DOCS / "benchmarks.md", DOCS / "benchmarks.svg"
BEGIN, END = "<!-- figures: made by make bench -->", "<!-- end of figures -->"


def rows_of(result: Mapping[str, Any]) -> list[Row]:
    """The rows of one benchmark's JSON."""
    return [Row(**row) for row in result.get("rows", ())]


def write(run: Mapping[str, Any], titles: Mapping[str, str]) -> None:
    """Put the figures of *run* into the page and the plot.

    :param run: what is in benchmarks/results.json.
    :param titles: by benchmark, in the order of the page.
    """
    results = {name: run["results"][name] for name in titles if name in run["results"]}
    PICTURE.write_text(picture(results))
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(
        "\n".join([before + BEGIN, "", *figures(run, results, titles), "", END + after])
    )


def headlines(results: Mapping[str, Any]) -> list[Row]:
    """The rows that the plot and the summary show."""
    return [row for result in results.values() for row in rows_of(result) if row.headline]


def figures(
    run: Mapping[str, Any], results: Mapping[str, Any], titles: Mapping[str, str]
) -> Iterable[str]:
    """The lines between the markers."""
    yield f"`{run['command']}`, {run['at']}."
    yield ""
    yield "; ".join(f"{name} {value}" for name, value in run["surroundings"].items()) + "."
    yield ""
    yield "![How many times better, and the cost of idling by size](benchmarks.svg)"
    yield ""
    yield from markdown(headlines(results))
    for name, result in results.items():
        yield ""
        yield f"### {titles[name]}"
        yield ""
        words = " ".join(result["words"])
        # With --only the others stay as they were, so each has a time of its own.
        notes = [*result.get("notes", ()), result.get("at", run["at"])]
        yield f"`{words}`" + "".join(f"; {note}" for note in notes) + "."
        yield ""
        if name == "scale":
            yield from scale_table(result["more"])
        else:
            yield from markdown(rows_of(result))


def markdown(rows: Sequence[Row]) -> Iterable[str]:
    """The rows as a table."""
    yield f"| | {OURS} | {THEIRS} | ratio |"
    yield "| --- | ---: | ---: | ---: |"
    for row in rows:
        theirs = "" if row.theirs is None else f"{shown(row.theirs)} {row.unit}"
        ratio = "" if row.ratio is None else f"**{shown(row.ratio)}x**"
        yield f"| {row.what} | {shown(row.ours)} {row.unit} | {theirs} | {ratio} |"


def scale_table(found: Mapping[str, Any]) -> Iterable[str]:
    """Sizes down, figures across; in each cell ours, then celery-redbeat's."""
    yield f"Each cell: {OURS} / {THEIRS}; in the third figure column celery-redbeat looks once a"
    yield "second, as we do (it is set to look after 300 s otherwise)."
    yield ""
    yield "| entries | time to lead | idle, CPU/min | both each second | server's CPU | memory |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: |"
    for size, of in found.items():
        if size == "paused":
            continue
        ours, theirs, often = of[OURS], of[THEIRS], of[EVERY_SECOND]
        cells = [
            f"{shown(ours['lead'])} / {shown(theirs['lead'])} s",
            f"{shown(ours['cpu'])} / {shown(theirs['cpu'])} ms",
            f"{shown(ours['cpu'])} / {shown(often['cpu'])} ms",
            f"{shown(ours['server'])} / {shown(often['server'])} ms",
            f"{shown(ours['memory'])} / {shown(theirs['memory'])} MiB",
        ]
        yield f"| {int(size):,} | " + " | ".join(cells) + " |"
    paused = found["paused"]
    of = paused[OURS]
    cells = [f"{shown(of['lead'])} s", f"{shown(of['cpu'])} ms", "", f"{shown(of['server'])} ms"]
    cells.append(f"{shown(of['memory'])} MiB")
    yield f"| {paused['size']:,}, all paused | " + " | ".join(cells) + " |"


def picture(results: Mapping[str, Any]) -> str:
    """The plot: the headlines as bars, the cost of idling as lines."""
    parts, end = plot.bars(headlines(results), 30)
    if "scale" in results:
        found = results["scale"]["more"]
        sizes = [size for size in found if size != "paused"]

        def line(name: str, colour: str, which: str, key: str) -> plot.Line:
            return name, colour, [(float(size), found[size][which][key]) for size in sizes]

        for key, title in (
            ("cpu", "Idle: milliseconds of CPU a minute, by number of entries"),
            ("memory", "Memory of beat in MiB, by number of entries"),
        ):
            drawn = [line(OURS, plot.OURS_COLOUR, OURS, key)]
            drawn.append(line(THEIRS, plot.THEIRS_COLOUR, EVERY_SECOND, key))
            more, end = plot.lines(title, drawn, end + 24)
            parts += more
    return plot.svg(end, parts)
