"""The documentation says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from redbeat_core.settings.config import SETTINGS, Setting

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def rows() -> dict[str, tuple[str, str]]:
    """Setting -> (default, description), from the tables of docs/settings.md."""
    text = (ROOT / "docs" / "settings.md").read_text()
    found = re.findall(r"^\| `(redbeat_\w+)` \| (.*?) \| (.*) \|$", text, re.MULTILINE)
    return {name: (default, description) for name, default, description in found}


def test_every_setting_is_documented_and_no_other() -> None:
    assert set(rows()) == {setting.name for setting in SETTINGS}


@pytest.mark.parametrize(
    "setting", [one for one in SETTINGS if one.default is not None], ids=lambda one: one.name
)
def test_the_documented_default_is_the_default(setting: Setting) -> None:
    default, _ = rows()[setting.name]
    assert default.removesuffix(" seconds").strip("`") == str(setting.default)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing
