"""Ids of requests: 128 random bits each, fetched some at a time, as asking the system costs more than all else of an id."""

import os

BYTES, TOGETHER = 16, 256


class RequestIds:
    """Gives each request an id of its own."""

    def __init__(self) -> None:
        self._ready: list[str] = []

    def new(self) -> str:
        """32 hexadecimal digits that were never given before."""
        if not self._ready:
            digits = os.urandom(BYTES * TOGETHER).hex()
            self._ready = [digits[start : start + 2 * BYTES] for start in range(0, len(digits), 2 * BYTES)]
        return self._ready.pop()
