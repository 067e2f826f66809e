"""The rules of the house that a reader relies on, and no linter of the usual kind knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("redbeat_core", "redbeat_tui")

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
CONTRACTS = SETTINGS["importlinter"]["contracts"]

#: These work on values alone: they can be tested, and trusted, without a server or a screen.
PURE_ROOMS: list[str] = next(
    contract["source_modules"] for contract in CONTRACTS if contract["name"].startswith("The pure")
)

#: A key or channel of the scheduler's own, written out.
SPELLED_KEY = re.compile(
    r":(schedule|statics|lock|events|log|leader|beats|triggers|runs|notify)(:|$)"
)


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def modules_of(room: str) -> list[str]:
    """The dotted names of a room's modules."""
    path = ROOT.joinpath(*room.split("."))
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in files
    ]


PURE = [module for room in PURE_ROOMS for module in modules_of(room)]


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_loads_neither_redis_nor_textual(module: str) -> None:
    # The packages are stood in for by bare ones, so that only what the module itself
    # imports is loaded, not what `redbeat_core/__init__.py` offers to its users.
    result = python(f"""
import importlib, sys, types
for name in {PACKAGES!r}:
    package = types.ModuleType(name)
    package.__path__ = [name]
    sys.modules[name] = package
importlib.import_module({module!r})
loaded = sorted({{name.partition(".")[0] for name in sys.modules}} & {{"redis", "textual"}})
sys.exit(f"{module} loads {{loaded}}" if loaded else 0)
""")
    assert result.returncode == 0, result.stderr


def test_the_engine_loads_no_part_of_the_console() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sources("redbeat_core")
    ]
    result = python(f"""
import importlib, sys
for name in {modules!r}:
    importlib.import_module(name)
loaded = [name for name in sys.modules if name.partition(".")[0] in ("textual", "redbeat_tui")]
sys.exit(f"the engine loads {{loaded}}" if loaded else 0)
""")
    assert result.returncode == 0, result.stderr


def test_the_import_contracts_hold() -> None:
    result = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_only_the_keys_module_spells_a_key() -> None:
    offences = [
        f"{path.relative_to(ROOT)}:{line}: {text!r}"
        for path in sources(*PACKAGES)
        if path.name != "keys.py"
        for line, text in strings(path)
        if SPELLED_KEY.search(text)
    ]
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_folder_has_twenty_modules(package: str) -> None:
    folders = {path.parent for path in sources(package)}
    assert folders
    for folder in folders:
        assert len(list(folder.glob("*.py"))) < 20, folder


def test_no_file_has_more_than_400_lines() -> None:
    files = [
        *sources(*PACKAGES, "tests", "benchmarks", "screenshots"),
        *(ROOT / "redbeat_core").rglob("*.lua"),
        *(ROOT / "redbeat_tui").rglob("*.tcss"),
    ]
    long = {
        str(path.relative_to(ROOT)): count
        for path in files
        if (count := len(path.read_text().splitlines())) > 400
    }
    assert not long


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_are_told_that_the_package_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """The string literals of a file that are no docstrings, with their lines."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in docstrings:
            continue
        if isinstance(node.value, str):
            yield node.lineno, node.value
