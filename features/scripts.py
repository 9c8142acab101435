"""Lua scripts in Redis: many calls in one round trip, and a server that was restarted is given its script again."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from redis.exceptions import NoScriptError

Argument = bytes | str | int
Call = tuple[Sequence[str], Sequence[Argument]]
"""Keys and arguments."""


@dataclass(frozen=True)
class Script:
    """A script by its text."""

    text: str

    @cached_property
    def sha(self) -> str:
        """By which the server knows it."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Any, calls: Sequence[Call]) -> list[Any]:
        """The reply to each call, or the error it was answered with. What met no script has done nothing and is sent again."""
        replies = self._sent(client, calls)
        again = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if again:
            client.script_load(self.text)
            for place, reply in zip(again, self._sent(client, [calls[place] for place in again]), strict=True):
                replies[place] = reply
        return replies

    def _sent(self, client: Any, calls: Sequence[Call]) -> list[Any]:
        with client.pipeline(transaction=False) as pipeline:
            for keys, arguments in calls:
                pipeline.evalsha(self.sha, len(keys), *keys, *arguments)
            return list(pipeline.execute(raise_on_error=False))


def checked(replies: Sequence[Any]) -> list[Any]:
    """The replies; the first error among them is raised."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return list(replies)
