"""Loads the Lua scripts: each file of ``lua/`` by its name, after the shared prelude."""

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
    """The source of ``lua/<name>.lua`` with its prelude."""
    folder = files("redbeat_core.storage") / "lua"
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
        return self._script(name)(keys=keys, args=args, client=pipe)

    def _script(self, name: str) -> Any:
        script = self._registered.get(name)
        if script is None:
            script = self._registered[name] = self._client.register_script(script_text(name))
        return script

    @contextmanager
    def ahead(self) -> Iterator[ScriptPipeline]:
        """Scripts that are asked for before the answers of others have come."""
        client = self._client.client()
        ahead = ScriptPipeline(client, self)
        try:
            yield ahead
        finally:
            if ahead.waiting:
                # Whatever else comes on this connection is no answer to what is asked next.
                client.connection.disconnect()
            client.close()

    def digest(self, name: str) -> str:
        """By which name a server knows the script, once it has run it."""
        return str(self._script(name).sha)


class ScriptPipeline:
    """One connection on which answers are read later, in the order of the questions.

    :ivar waiting: what was asked and not yet answered.
    """

    def __init__(self, client: Any, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts
        self.waiting: deque[tuple[str, list[str], list[Any]]] = deque()

    def ask(self, name: str, keys: list[str], args: list[Any]) -> None:
        """Send one script; the server runs it when it comes to it."""
        self.waiting.append((name, keys, args))
        digest = self._scripts.digest(name)
        self._client.connection.send_command("EVALSHA", digest, len(keys), *keys, *args)

    def answer(self) -> Any:
        """Wait for the answer to the oldest question that has none yet.

        :raises RedisError: as :meth:`Scripts.run` does.
        """
        try:
            reply = self._client.parse_response(self._client.connection, "EVALSHA")
        except NoScriptError:
            # It was restarted, or told to forget them: nothing was done.
            return self._scripts.run(*self.waiting.popleft())
        except ResponseError:
            self.waiting.popleft()
            raise
        self.waiting.popleft()
        return reply
