"""Print the lowest version of every package that pyproject.toml names, as pip constraints."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def lowest(requirements: list[str]) -> list[str]:
    """``name==version`` for each requirement of the form ``name[extra]>=version``."""
    found = (re.match(r"([\w.-]+)(?:\[[^]]*\])?>=([\w.]+)", one) for one in requirements)
    return [f"{match[1]}=={match[2]}" for match in found if match]


project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
extras = project["optional-dependencies"]
for line in lowest([*project["dependencies"], *extras["demo"], *extras["dev"]]):
    print(line)
