"""Loads and runs the Lua scripts: each file of ``lua/`` by its name, after the shared prelude."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

_PRELUDE = "_events"


@cache
def script_text(name: str) -> str:
    """Return the source of ``lua/<name>.lua`` with its prelude."""
    folder = files("redbeat_core.storage") / "lua"
    return "\n".join(
        (folder / f"{part}.lua").read_text(encoding="utf-8") for part in (_PRELUDE, name)
    )


class Scripts:
    """The scripts, registered with one client, which sends a script again if the server has lost
    it (by a restart).
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._registered: dict[str, Any] = {}

    def run(self, name: str, keys: list[str], args: list[Any], pipe: Any = None) -> Any:
        """Run one script; with *pipe*, queue it there: the pipeline returns the result."""
        return self._script(name)(keys=keys, args=args, client=pipe)

    def _script(self, name: str) -> Any:
        script = self._registered.get(name)
        if script is None:
            script = self._registered[name] = self._client.register_script(script_text(name))
        return script

    @contextmanager
    def pipeline(self) -> Iterator[ScriptPipeline]:
        """Open a connection on which scripts are sent before the earlier replies are read."""
        client = self._client.client()
        pipeline = ScriptPipeline(client, self)
        try:
            yield pipeline
        finally:
            if pipeline.waiting:
                # Replies that are still to come must not be read as replies to later commands.
                client.connection.disconnect()
            client.close()

    def digest(self, name: str) -> str:
        """Return the SHA1 digest by which EVALSHA runs the script."""
        return str(self._script(name).sha)


class ScriptPipeline:
    """One connection whose replies are read later, in the order of the requests.

    :ivar waiting: the requests without a reply: name, keys, arguments.
    """

    def __init__(self, client: Any, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts
        self.waiting: deque[tuple[str, list[str], list[Any]]] = deque()

    def send(self, name: str, keys: list[str], args: list[Any]) -> None:
        """Send one script without waiting for its reply."""
        self.waiting.append((name, keys, args))
        digest = self._scripts.digest(name)
        self._client.connection.send_command("EVALSHA", digest, len(keys), *keys, *args)

    def reply(self) -> Any:
        """Wait for the reply to the oldest waiting request and return it.

        :raises RedisError: as :meth:`Scripts.run` does.
        """
        try:
            reply = self._client.parse_response(self._client.connection, "EVALSHA")
        except NoScriptError:
            # The server lost its scripts (a restart, SCRIPT FLUSH): it did not run this one.
            return self._scripts.run(*self.waiting.popleft())
        except ResponseError:
            self.waiting.popleft()
            raise
        self.waiting.popleft()
        return reply
