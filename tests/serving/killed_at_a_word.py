"""Processes that end at a word to Redis, so to speak: the words are counted, and one too many ends the work."""

from typing import Any

import pytest
import redis.connection


class Killed(BaseException):
    """What ends a worker: nothing may catch it."""


def kill_after(patched: pytest.MonkeyPatch, words: int, *, reply_is_lost: bool) -> None:
    """End this process, so to speak, at a word to Redis: before it is sent, or when it was done and its reply is not read."""
    name = "read_response" if reply_is_lost else "send_packed_command"
    real: Any = getattr(redis.connection.AbstractConnection, name)
    left = words

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        found = real(self, *args, **kwargs) if left >= 0 or reply_is_lost else None
        if left < 0:
            raise Killed
        return found

    patched.setattr(redis.connection.AbstractConnection, name, counted)
