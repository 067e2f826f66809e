"""Loads the Lua scripts: each file of ``lua/`` by its name, after the shared prelude."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

_PRELUDE = "_events"


@cache
def script_text(name: str) -> str:
    """The source of ``lua/<name>.lua`` with its prelude."""
    folder = files("redbeat_core") / "lua"
    return "\n".join(
        (folder / f"{part}.lua").read_text(encoding="utf-8") for part in (_PRELUDE, name)
    )


class Scripts:
    """The scripts, registered with one client. A server that lost them (a restart) gets them
    again by itself.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._registered: dict[str, Any] = {}

    def run(self, name: str, keys: list[str], args: list[Any], pipe: Any = None) -> Any:
        """Run one script; inside *pipe* the result comes with the pipeline's."""
        script = self._registered.get(name)
        if script is None:
            script = self._registered[name] = self._client.register_script(script_text(name))
        return script(keys=keys, args=args, client=pipe)
